%% What quorate asks a running broker, answered inside of it: a statement a line on a socket that only this container has.
%%
%% The cluster's leader, its votes and its term are those of one quorum queue that nobody else uses: its Raft group is the
%% group of members. A member votes once it has a copy of every quorum queue, of this one last.
-module(quorate_broker).
-behaviour(gen_event).
-export([boot/0, make/0, restore/0, recover/0, group/0, admits/1, state_of/1, sync_tables/0, secret/1, refuse/2, until/1]).
-export([init/1, handle_event/2, handle_call/2, handle_info/2, terminate/2]).

-include_lib("amqp_client/include/amqp_client.hrl").

-define(VHOST, <<"quorate">>).
-define(NAME, <<"members">>).
-define(QUEUE, #resource{virtual_host = ?VHOST, kind = queue, name = ?NAME}).
%% Where the node is kept that was invited last; empty for none.
-define(INVITED, quorate_invited).
-define(USER, <<"quorate">>).
%% What was last seen of the group, for the time in which the broker stands still because it is in a minority.
-define(SEEN, quorate_seen).
%% How long an action waits for what the broker goes on doing; the next one finds it done, or waits again.
-define(WAIT_MS, 6000).
%% How long a member that is told to end waits for others of its queues to come back.
-define(CRITICAL_MS, 30000).
%% How long a queue may be without a leader before one is asked for.
-define(LEADERLESS_MS, 5000).
%% How long a queue may take to apply its log when it goes on alone.
-define(ALONE_MS, 60000).
%% How long a majority waits for members that may know of later changes of queues, users and the like.
-define(TABLES_MS, 20000).
%% How often a start that takes long says where it stands, and of how many such times it may compute nothing in a row.
-define(BOOT_MS, 60000).
-define(IDLE_TIMES, 2).

%% --- the main process of the engine

%% Instead of rabbit:boot/0.
boot() ->
    ok = gen_event:delete_handler(erl_signal_server, erl_signal_handler, []),
    ok = gen_event:add_handler(erl_signal_server, ?MODULE, []),
    listen(),
    spawn(fun() -> watch_boot(0, 0) end),
    spawn(fun() -> watch_tables(false) end),
    spawn(fun() -> watch_queues([]) end),
    start().

%% The broker asks the daemon's client, by its module's name, where its own node listens, and starts the daemon again whenever
%% it looks for it: there is none. And what it tells a client of queues, users and the like is safe on every member first.
start() ->
    replace(erl_epmd, ["port_please/3"], ["port_please(N, H, T) -> quorate_addresses:port_please(N, H, T)."]),
    replace(rabbit_epmd_monitor, ["start_link/0"], ["start_link() -> ignore."]),
    replace(mnesia_sync, ["start_link/0", "sync/0"], ["start_link() -> ignore.", "sync() -> quorate_broker:sync_tables()."]),
    restore_logs(),
    rabbit:boot().

%% Puts these functions in the place of one of the broker's modules.
replace(Module, Exported, Functions) ->
    Texts = ["-module(" ++ atom_to_list(Module) ++ ").", "-export([" ++ lists:join(",", Exported) ++ "])." | Functions],
    Forms = [begin {ok, Tokens, _} = erl_scan:string(lists:flatten(Text)), {ok, Form} = erl_parse:parse_form(Tokens), Form end
        || Text <- Texts],
    {ok, Module, Code} = compile:forms(Forms),
    code:unstick_mod(Module),
    {module, Module} = code:load_binary(Module, atom_to_list(Module), Code).

%% The broker itself does so on the member alone that was asked; the others may have a change for seconds in memory only, and
%% after all were killed the tables of any of them may be those that all take.
sync_tables() ->
    rpc:multicall(mnesia:system_info(running_db_nodes), disk_log, sync, [latest_log], 5000),
    ok.

%% The broker notes which log is which queue's half a second late, and begins an empty one for a queue whose log it does not
%% know: a kill in between would cost a new queue's messages. Each log says itself whose it is; of two, the old one was deleted.
restore_logs() ->
    Folder = filename:join([os:getenv("QUORATE_DATA_DIR"), "broker", "quorum", atom_to_list(node())]),
    Found = [{filelib:last_modified(File), Name, Uid} || File <- filelib:wildcard(filename:join([Folder, "*", "config"])),
        {ok, [#{id := {Name, _}, uid := Uid}]} <- [file:consult(File)]],
    case Found of
        [] ->
            ok;
        _ ->
            {ok, Table} = dets:open_file(?MODULE, [{file, filename:join(Folder, "names.dets")}]),
            ok = dets:insert(Table, maps:to_list(maps:from_list([{Name, Uid} || {_, Name, Uid} <- lists:sort(Found)]))),
            ok = dets:close(Table)
    end.

init(_) ->
    {ok, running}.

handle_event(sigterm, running) ->
    spawn(fun stop/0),
    {ok, stopping};
handle_event(Signal, State) when Signal =:= sigquit; Signal =:= sigusr1 ->
    erlang:halt(1),
    {ok, State};
handle_event(_Signal, State) ->
    {ok, State}.

handle_call(_, State) -> {ok, ok, State}.
handle_info(_, State) -> {ok, State}.
terminate(_, _) -> ok.

%% Ends without taking anything from clients: others lead the queues, and have them whole, before this node goes.
stop() ->
    case rabbit:is_running() of
        true ->
            await_others(deadline(?CRITICAL_MS)),
            catch rabbit_maintenance:drain(),
            rabbit:stop_and_halt();
        false ->
            erlang:halt(0, [{flush, false}]) % nobody is served, and its log takes a kill
    end.

%% A queue that lacks a copy already would lose its majority with this one. One that has all of them is as whole as it can be.
await_others(EndMs) ->
    case [Queue || Queue <- rabbit_quorum_queue:list_with_minimum_quorum(), lacks_copies(Queue)] of
        [] ->
            ok;
        Critical ->
            case now_ms() < EndMs of
                true -> timer:sleep(200), await_others(EndMs);
                false -> say("~b quorum queues lose their majority with this member", [length(Critical)])
            end
    end.

lacks_copies(Queue) ->
    Nodes = nodes_of(Queue),
    {Name, _} = amqqueue:get_pid(Queue),
    lists:any(fun(Node) -> not is_working(state_of(Node, Name)) end, Nodes).

%% --- a new cluster, and one that is begun anew from one copy

%% Makes users, and the queue whose Raft group is the group of members. Passwords are read here: a command line can be seen.
make() ->
    finally(fun make_new/0).

%% The same with what was backed up elsewhere.
restore() ->
    finally(fun() -> make_new(), quorate_definitions:import(os:getenv("DEFINITIONS")) end).

make_new() ->
    start(),
    lists:foreach(fun make_user/1, [{"quorate", [administrator]}, {"admin", [administrator]}, {"app", []}]),
    rabbit_vhost:add(?VHOST, ?USER),
    [rabbit_auth_backend_internal:set_permissions(User, Host, <<".*">>, <<".*">>, <<".*">>, ?USER)
     || {User, Host} <- [{?USER, ?VHOST}, {<<"admin">>, ?VHOST}, {<<"admin">>, <<"/">>}, {<<"app">>, <<"/">>}]],
    catch rabbit_auth_backend_internal:delete_user(<<"guest">>, ?USER),
    Arguments = [{<<"x-queue-type">>, longstr, <<"quorum">>}, {<<"x-max-length">>, long, 1}],
    {new, _} = rabbit_amqqueue:declare(?QUEUE, true, false, Arguments, none, ?USER).

make_user({Name, Tags}) ->
    User = list_to_binary(Name),
    rabbit_auth_backend_internal:add_user(User, secret(Name), ?USER),
    ok = rabbit_auth_backend_internal:set_tags(User, Tags, ?USER).

%% Takes every other member out of every queue and of the cluster. Each queue goes on with what this copy has of it.
recover() ->
    finally(fun() ->
        % What rabbit_mnesia:force_load_next_boot/0 does, once it knows the folder: too late here.
        ok = file:write_file(filename:join([os:getenv("QUORATE_DATA_DIR"), "broker", "force_load"]), <<>>),
        start(),
        Here = [Queue || Queue <- quorum_queues(), lists:member(node(), nodes_of(Queue))],
        lists:foreach(fun go_on_alone/1, Here),
        [ok = rabbit_mnesia:forget_cluster_node(Node, false) || Node <- rabbit_mnesia:cluster_nodes(all) -- [node()]],
        clear_invited(),
        quorate_accounts:forget_epoch()
    end).

%% The server's own Raft has no way to go on without a majority, so its idea of the group is changed for as long as it takes to
%% log that the others left: then that is what the log says, and every later start.
go_on_alone(Queue) ->
    {Name, _} = amqqueue:get_pid(Queue),
    Self = {Name, node()},
    {ok, Members, _} = ra_server_proc:local_state_query(Self, members, 5000),
    case Members -- [Self] of
        [] ->
            ok;
        [Other | _] ->
            All = set_cluster(Self, fun(Cluster) -> maps:with([Self], Cluster) end),
            catch ra:trigger_election(Self, 1000), % one that looks for votes already elects itself a moment later
            ok = until(fun() -> state_of(node(), Name) =:= leader end, deadline(?ALONE_MS)),
            ok = until(fun() -> has_applied_all(Name) end, deadline(?ALONE_MS)),
            % What is logged is who is left: no other.
            set_cluster(Self, fun(Cluster) -> Cluster#{Other => maps:get(Other, All)} end),
            {ok, _, _} = ra:remove_member(Self, Other),
            ok = until(fun() -> has_applied_all(Name) end, deadline(?ALONE_MS))
    end,
    update_nodes(Queue, Self, [node()]).

%% Sets what a Raft server takes for its group, and returns what it took for it. Entries that it has logged and not applied yet may
%% say what the group was: it is told that this is later than they are, or it would take their word again.
set_cluster({Name, _}, Change) ->
    {_, Before} = sys:get_state(Name),
    sys:replace_state(Name, fun({State, Data}) ->
        Server = element(3, Data), % of the record: its configuration, then the server's state
        Cluster = Change(maps:get(cluster, Server)),
        {State, setelement(3, Data, Server#{cluster => Cluster, cluster_index_term => last_logged(Server)})}
    end),
    maps:get(cluster, element(3, Before)).

last_logged(Server) ->
    ra_log:last_index_term(maps:get(log, Server)).

%% Whether everything that the leader has logged is committed, its idea of the group included. Until then that must stay as it is.
has_applied_all(Name) ->
    {_, Data} = sys:get_state(Name),
    Server = element(3, Data),
    {Last, _} = last_logged(Server),
    maps:get(cluster_change_permitted, Server) andalso maps:get(last_applied, Server) =:= Last.

update_nodes(Queue, Leader, Nodes) ->
    Update = fun(One) ->
        amqqueue:set_pid(amqqueue:set_type_state(One, (amqqueue:get_type_state(One))#{nodes => Nodes}), Leader)
    end,
    rabbit_misc:execute_mnesia_transaction(fun() -> rabbit_amqqueue:update(amqqueue:get_name(Queue), Update) end).

%% Ends the node when the work is done, with 1 when it failed.
finally(Work) ->
    try
        Work(),
        rabbit:stop_and_halt()
    catch
        Class:Reason:Stack ->
            say("~0p: ~0p in ~0p", [Class, Reason, Stack]),
            erlang:halt(1, [{flush, true}])
    end.

%% --- statements

listen() ->
    Path = filename:join(os:getenv("QUORATE_RUN_DIR"), "admin.sock"),
    file:delete(Path),
    Parent = self(),
    spawn(fun() ->
        ets:new(?SEEN, [named_table, public]), % here, because this process never ends
        {ok, Listener} = gen_tcp:listen(0, [{ifaddr, {local, Path}}, local, binary, {packet, line}, {active, false}]),
        Parent ! listening,
        accept(Listener)
    end),
    receive listening -> ok end.

accept(Listener) ->
    {ok, Socket} = gen_tcp:accept(Listener),
    gen_tcp:controlling_process(Socket, spawn(fun() -> serve(Socket, undefined) end)),
    accept(Listener).

%% Each connection keeps its own channel for probes. An answer is a line: `+` and what was asked for, or `-` and what is wrong.
serve(Socket, Channel) ->
    case gen_tcp:recv(Socket, 0) of
        {ok, Line} ->
            [Word | Arguments] = string:lexemes(string:trim(binary_to_list(Line)), " "),
            {Answer, Next} = try_answer(Word, Arguments, Channel),
            gen_tcp:send(Socket, [Answer, "\n"]),
            serve(Socket, Next);
        {error, closed} ->
            catch amqp_connection:close(element(1, Channel))
    end.

try_answer("probe", [Epoch], Channel) ->
    try {"+", probe(Epoch, Channel)}
    catch _:Reason -> {said(Reason), undefined}
    end;
try_answer(Word, Arguments, Channel) ->
    try {["+", answer(Word, Arguments)], Channel}
    catch _:Reason -> {said(Reason), Channel}
    end.

said({refused, Text}) -> ["-", Text];
said(Reason) -> ["-", re:replace(io_lib:format("~0p", [Reason]), "\\s+", " ", [global])].

refuse(Format, Arguments) ->
    throw({refused, io_lib:format(Format, Arguments)}).

answer("observe", []) -> observe();
answer("add", [Member, Host, Port]) -> add(Member, Host, Port);
answer("promote", [Id]) -> promote(Id);
answer("remove", [Id]) -> remove(Id);
answer("hand-over", [Id]) -> hand_over(Id);
answer("reload", []) -> ssl:clear_pem_cache(), "";
answer("rebalance", []) -> rebalance();
answer("accounts", [Epoch, File]) -> quorate_accounts:make(list_to_integer(Epoch), File);
answer("passwords", [Epoch]) -> quorate_accounts:take(list_to_integer(Epoch));
answer("definitions", []) -> quorate_definitions:export();
answer("queues", [Count]) -> queues(list_to_integer(Count));
answer(Word, _) -> refuse("no such statement: ~s", [Word]).

%% --- what this node is

%% While the broker stands still, in a minority or at its start, no member leads as far as this one can tell.
observe() ->
    case rabbit:is_running() of
        true ->
            Seen = look(),
            ets:insert(?SEEN, {seen, Seen}),
            json(Seen);
        false ->
            case ets:lookup(?SEEN, seen) of
                [{seen, Seen}] -> json(Seen#{leader => "", leads => false, whole => false});
                [] -> refuse("the broker has not started yet", [])
            end
    end.

look() ->
    {ok, Queue} = rabbit_amqqueue:lookup(?QUEUE),
    {Name, {_, Known}} = {element(1, amqqueue:get_pid(Queue)), amqqueue:get_pid(Queue)},
    Invited = invited(),
    Nodes = rabbit_mnesia:cluster_nodes(all),
    State = state_of(node(), Name),
    {Voters, Leader, Term} =
        case is_working(State) andalso ra_server_proc:local_state_query({Name, node()}, all, 2000) of
            {ok, #{cluster := Cluster, current_term := Current} = Server, _} ->
                {[Node || {_, Node} <- maps:keys(Cluster)], leader_of(Server), Current};
            _ ->
                % One that has no copy yet believes the leader that the others know of.
                Learned = case lists:member(node(), nodes_of(Queue)) of true -> undefined; false -> Known end,
                {nodes_of(Queue), Learned, 0}
        end,
    IsWhole = is_whole(),
    #{
        leads => State =:= leader,
        leader => case State =:= leader orelse IsWhole of true -> id_of(Leader); false -> "" end,
        whole => IsWhole,
        term => Term,
        cluster => rabbit_runtime_parameters:value_global(internal_cluster_id),
        position => position(),
        members => [{Node, lists:member(Node, Voters)} || Node <- lists:usort(Nodes ++ Invited)]
    }.

leader_of(#{leader_id := {_, Node}}) -> case lists:member(Node, rabbit_nodes:all_running()) of true -> Node; false -> undefined end;
leader_of(_) -> undefined.

%% Entries in the logs of all quorum queues that have a copy here.
position() ->
    lists:sum([Last || {_, _, _, _, _, Last, _} <- ets:tab2list(ra_metrics)]).

%% Whether every copy here takes part again, and knows its leader: a client that asks one that does not waits until it gives up.
%% A member whose copies do not is not up: nobody else may be restarted meanwhile.
is_whole() ->
    Running = rabbit_nodes:all_running(),
    lists:all(fun(Queue) ->
        {Name, _} = amqqueue:get_pid(Queue),
        is_led(Name, state_of(node(), Name), Running)
    end, [Queue || Queue <- quorum_queues(), lists:member(node(), nodes_of(Queue))]).

is_led(_Name, leader, _Running) ->
    true;
is_led(Name, follower, Running) ->
    case ra_leaderboard:lookup_leader(Name) of
        {_, Node} -> lists:member(Node, Running);
        undefined -> false
    end;
is_led(_Name, _State, _Running) ->
    false.

json(#{leads := Leads, leader := Leader, whole := IsWhole, term := Term, cluster := Cluster, position := Position, members := Members}) ->
    Member = fun({Node, Votes}) ->
        io_lib:format("{\"id\":\"~s\",\"name\":\"~s\",\"votes\":~s,\"address\":\"~s\"}",
            [id_of(Node), name_of(Node), Votes, Node])
    end,
    io_lib:format(
        "{\"writable\":~s,\"receiving\":~s,\"version\":\"~s\",\"position\":{\"history\":\"~s\",\"value\":\"~b\"},"
        "\"group\":{\"id\":\"~s\",\"leaderId\":\"~s\",\"term\":~b,\"members\":[~s]}}",
        [Leads, Leader =/= "" andalso IsWhole, rabbit_misc:version(), Cluster, Position, id_of(node()), Leader, Term,
         lists:join(",", [Member(One) || One <- Members])]).

%% --- changes of the group, on its leader

%% Invites one node. It joins by itself, and the group admits no other.
add(Member, Host, Port) ->
    Id = binary_to_list(binary:encode_hex(crypto:strong_rand_bytes(6))),
    Node = lists:concat([Member, "_", Port, "_", string:lowercase(Id), "@", Host]),
    rabbit_runtime_parameters:set_global(?INVITED, list_to_binary(Node), ?USER),
    string:lowercase(Id).

invited() ->
    case rabbit_runtime_parameters:value_global(?INVITED) of
        not_found -> [];
        <<>> -> [];
        Node -> [binary_to_atom(Node)]
    end.

clear_invited() ->
    rabbit_runtime_parameters:set_global(?INVITED, <<>>, ?USER).

%% Asked by a node that wants to join.
admits(Node) ->
    lists:member(Node, invited()).

%% Copies every quorum queue to the member, and gives it its vote when all of them have caught up.
promote(Id) ->
    Node = find(Id, rabbit_mnesia:cluster_nodes(all)),
    is_atom(Node) andalso lists:member(Node, rabbit_nodes:all_running()) orelse refuse("~s has not joined yet", [Id]),
    work({grow, Node}, fun() -> grow(Node) end).

grow(Node) ->
    {Own, Others} = lists:partition(fun is_own/1, quorum_queues()),
    lists:foreach(fun(Queue) -> copy(Queue, Node) end, Others ++ Own),
    clear_invited(),
    spawn(fun() -> catch rebalance() end).

copy(Queue, Node) ->
    #resource{virtual_host = Host, name = Name} = amqqueue:get_name(Queue),
    case rabbit_quorum_queue:add_member(Host, Name, Node, 5000) of
        ok -> await_copy(Queue, Node);
        {error, not_found} -> ok; % deleted meanwhile
        {error, Reason} -> refuse("queue ~s of vhost ~s has no copy on ~s yet: ~0p", [Name, Host, name_of(Node), Reason])
    end.

await_copy(Queue, Node) ->
    {_, Leader} = amqqueue:get_pid(Queue),
    Name = amqqueue:get_name(Queue),
    case committed(Leader, Name) of
        undefined -> ok; % deleted, or about to elect: its majority decides what is true
        Index ->
            HasAll = fun() -> case committed(Node, Name) of undefined -> false; Own -> Own >= Index end end,
            until(HasAll) =:= ok orelse refuse("~s has not caught up yet", [name_of(Node)])
    end.

%% Up to where a copy knows the queue's log to be decided, as it was a second ago.
committed(Node, Name) ->
    case rpc:call(Node, ets, lookup, [ra_metrics, Name], 2000) of
        [{_, _, _, _, Index, _, _}] -> Index;
        _ -> undefined
    end.

%% Takes every copy of the member out, the vote last, and then the member out of the cluster.
remove(Id) ->
    case find(Id, rabbit_mnesia:cluster_nodes(all)) of
        undefined ->
            [Node || Node <- invited(), id_of(Node) =:= Id] =/= [] andalso clear_invited(),
            "";
        Node when Node =:= node() ->
            refuse("the leader cannot take itself out", []);
        Node ->
            work({shrink, Node}, fun() -> shrink(Node) end)
    end.

shrink(Node) ->
    IsUp = lists:member(Node, rabbit_nodes:all_running()),
    IsUp andalso refuse_losses(Node),
    {Own, Others} = lists:partition(fun is_own/1, quorum_queues()),
    lists:foreach(fun(Queue) ->
        #resource{virtual_host = Host, name = Name} = amqqueue:get_name(Queue),
        case rabbit_quorum_queue:delete_member(Host, Name, Node) of
            ok -> ok;
            {error, not_found} -> ok;
            {error, last_node} ->
                refuse("queue ~s of vhost ~s has its only copy on ~s: delete it, or copy it", [Name, Host, name_of(Node)]);
            {error, Reason} ->
                refuse("queue ~s of vhost ~s keeps its copy on ~s: ~0p", [Name, Host, name_of(Node), Reason])
        end
    end, [Queue || Queue <- Others ++ Own, lists:member(Node, nodes_of(Queue))]),
    IsUp andalso rpc:call(Node, rabbit, stop, [], 60000),
    ok = rabbit_mnesia:forget_cluster_node(Node, false).

%% What is no quorum queue has one copy only, and goes with its member.
refuse_losses(Node) ->
    Lost = [amqqueue:get_name(Queue) || Queue <- rabbit_amqqueue:list(), amqqueue:is_durable(Queue),
        amqqueue:get_type(Queue) =/= rabbit_quorum_queue, amqqueue:qnode(Queue) =:= Node, not is_empty(Queue)],
    case Lost of
        [] -> ok;
        [#resource{virtual_host = Host, name = Name} | _] ->
            refuse("~b queues that are no quorum queues have messages on ~s, such as ~s of vhost ~s: empty or delete them",
                [length(Lost), name_of(Node), Name, Host])
    end.

is_empty(Queue) ->
    case catch rabbit_amqqueue:info(Queue, [messages]) of
        [{messages, 0}] -> true;
        _ -> false
    end.

hand_over(Id) ->
    {ok, Queue} = rabbit_amqqueue:lookup(?QUEUE),
    {Name, _} = amqqueue:get_pid(Queue),
    Target = find(Id, nodes_of(Queue)),
    Target =/= undefined orelse refuse("~s does not vote", [Id]),
    case ra:transfer_leadership({Name, node()}, {Name, Target}) of
        ok -> ok;
        already_leader -> ok;
        Other -> refuse("~0p", [Other])
    end,
    case until(fun() -> state_of(Target, Name) =:= leader end) of
        ok -> "";
        _ -> refuse("~s does not lead yet", [name_of(Target)])
    end.

%% Spreads who leads the queues over the members; never the one that says who leads the cluster.
rebalance() ->
    case rabbit_amqqueue:rebalance(quorum, <<"^(?!quorate$)">>, <<".*">>) of
        {ok, _} -> "";
        Other -> refuse("~0p", [Other])
    end.

%% Long work goes on by itself. An action waits a while for it, and is called again until it is done.
work(Key, Work) ->
    Name = list_to_atom(lists:concat(["quorate_", element(1, Key), "_", element(2, Key)])),
    Parent = self(),
    Mark = make_ref(),
    spawn(fun() ->
        case catch register(Name, self()) of
            true -> Parent ! {Mark, try Work(), done catch _:Reason -> Reason end};
            _ -> Parent ! {Mark, busy}
        end
    end),
    receive
        {Mark, done} -> "";
        {Mark, busy} -> refuse("still at it", []);
        {Mark, Reason} -> throw(Reason)
    after ?WAIT_MS -> refuse("still at it", [])
    end.

%% --- for people and measurements

%% Publishes one message as a client would, and waits until a majority has it.
probe(Epoch, undefined) ->
    {ok, _} = application:ensure_all_started(amqp_client),
    % A changed password is in force only when every member must have it: until then the one that was taken last.
    Former = [Password || {_, Password} <- ets:lookup(?SEEN, password)],
    Connection = connect([secret("quorate") | Former]),
    {ok, Channel} = amqp_connection:open_channel(Connection),
    #'confirm.select_ok'{} = amqp_channel:call(Channel, #'confirm.select'{}),
    probe(Epoch, {Connection, Channel});
probe(Epoch, {_, Channel} = Opened) ->
    Message = #amqp_msg{props = #'P_basic'{delivery_mode = 2}, payload = list_to_binary(Epoch)},
    ok = amqp_channel:cast(Channel, #'basic.publish'{routing_key = ?NAME, mandatory = true}, Message),
    true = amqp_channel:wait_for_confirms(Channel, {4000, millisecond}),
    Opened.

connect([Password | Others]) ->
    Parameters = #amqp_params_network{host = os:getenv("QUORATE_LISTEN_HOST", "127.0.0.1"),
        port = list_to_integer(os:getenv("QUORATE_PORT")), virtual_host = ?VHOST, username = ?USER, password = Password,
        connection_timeout = 3000},
    case amqp_connection:start(Parameters) of
        {ok, Connection} ->
            ets:insert(?SEEN, {password, Password}),
            Connection;
        {error, {auth_failure, _}} when Others =/= [] ->
            connect(Others);
        {error, Reason} ->
            refuse("the broker lets quorate not in: ~0p", [Reason])
    end.

%% The queues that have most to be consumed: ready, handed out and not acknowledged, consumers.
queues(Count) ->
    Rows = [{Ready, Unacked, Consumers, Host, Name} ||
        Queue <- rabbit_amqqueue:list(), not is_own(Queue),
        #resource{virtual_host = Host, name = Name} <- [amqqueue:get_name(Queue)],
        [{_, Ready}, {_, Unacked}, {_, Consumers}] <-
            [catch rabbit_amqqueue:info(Queue, [messages_ready, messages_unacknowledged, consumers])]],
    Most = lists:sublist(lists:sort(fun(A, B) -> {element(1, A) + element(2, A)} >= {element(1, B) + element(2, B)} end, Rows), Count),
    {Ready, Unacked} = lists:foldl(fun({R, U, _, _, _}, {Rs, Us}) -> {Rs + R, Us + U} end, {0, 0}, Rows),
    Row = fun({R, U, C, Host, Name}) ->
        io_lib:format("{\"vhost\":~s,\"queue\":~s,\"ready\":~b,\"unacknowledged\":~b,\"consumers\":~b}",
            [rabbit_json:encode(Host), rabbit_json:encode(Name), R, U, C])
    end,
    io_lib:format("{\"queues\":~b,\"ready\":~b,\"unacknowledged\":~b,\"most\":[~s]}",
        [length(Rows), Ready, Unacked, lists:join(",", lists:map(Row, Most))]).

%% --- tables

%% Brokers that end at the same moment all wait for each other at their next start: each may have missed something. Those
%% that are a majority have everything that was told to a client, so one of them goes on without the rest.
watch_tables(WasStuck) ->
    timer:sleep(?TABLES_MS div 2),
    IsStuck = is_stuck(),
    case WasStuck andalso IsStuck andalso hd(lists:sort([node() | waiting()])) =:= node() of
        true ->
            say("goes on without members that are not there: the others are a majority", []),
            spawn(fun() -> rabbit_table:force_load() end); % which may wait for ever for a table that is on its way
        false ->
            ok
    end,
    watch_tables(IsStuck).

%% Whether the broker has not started, though a majority is there. One that has not joined has nothing to go on with, and who is
%% up gives its tables to those that come.
is_stuck() ->
    not rabbit:is_running() andalso mnesia:system_info(is_running) =:= yes andalso is_joined() andalso
        (length(waiting()) + 1) * 2 > length(rabbit_mnesia:cluster_nodes(all)) andalso not lists:any(fun is_up/1, waiting()).

is_joined() ->
    filelib:is_regular(filename:join(os:getenv("QUORATE_DATA_DIR"), "joined")).

%% Other members whose database is there.
waiting() ->
    lists:delete(node(), mnesia:system_info(running_db_nodes)).

%% Erlang's database can wait for an answer for ever when that of another member ended at the wrong moment of its start (OTP's pull
%% request 558 describes one such case). A start that takes long says where it stands. One that computes nothing meanwhile, though
%% the others are a majority with it, begins anew; to read long logs costs time, too, but also computing.
watch_boot(BeforeMs, Times) ->
    timer:sleep(?BOOT_MS),
    {Ms, _} = erlang:statistics(runtime),
    case rabbit:is_running() orelse not could_be_up() of
        true ->
            watch_boot(Ms, 0);
        false ->
            say("the broker has not started yet: ~0p", [booting()]),
            case Ms - BeforeMs < ?BOOT_MS div 20 of
                true when Times + 1 >= ?IDLE_TIMES ->
                    say("the broker stands still at its start, and begins anew", []),
                    erlang:halt(1, [{flush, true}]);
                true -> watch_boot(Ms, Times + 1);
                false -> watch_boot(Ms, 0)
            end
    end.

%% Whether members that are up would be a majority with this one.
could_be_up() ->
    All = case catch rabbit_mnesia:cluster_nodes(all) of Known when is_list(Known) -> lists:usort(Known ++ group()); _ -> group() end,
    Up = lists:filter(fun is_up/1, lists:delete(node(), All)),
    Up =/= [] andalso (length(Up) + 1) * 2 > length(All).

is_up(Node) ->
    rpc:call(Node, rabbit, is_running, [], 2000) =:= true.

%% The processes that are at work for the start, each with the innermost of what it is at. Those that wait for others' calls are not.
booting() ->
    Stacks = [[{Module, Function} || {Module, Function, _, _} <- Stack] ||
        Pid <- processes(), {_, Stack} <- [process_info(Pid, current_stacktrace)]],
    [lists:sublist(Calls, 8) || [{_, Innermost} | _] = Calls <- Stacks,
        string:find(atom_to_list(Innermost), "loop") =:= nomatch andalso lists:any(fun is_of_broker/1, Calls)].

is_of_broker({Module, _}) ->
    lists:any(fun(Prefix) -> lists:prefix(Prefix, atom_to_list(Module)) end, ["rabbit", "mnesia"]).

%% A queue that was made or deleted when all were killed may have nothing but new copies, which wait for an election that
%% nobody begins.
watch_queues(Before) ->
    timer:sleep(?LEADERLESS_MS),
    Now = case rabbit:is_running() of true -> leaderless(); false -> [] end,
    [catch ra:trigger_election({Name, node()}, 1000) || Name <- Now, lists:member(Name, Before)],
    watch_queues(Now).

leaderless() ->
    case catch [element(1, amqqueue:get_pid(Queue)) || Queue <- quorum_queues()] of
        {'EXIT', _} -> [];
        Names -> [Name || Name <- Names, state_of(Name) =:= follower, ra_leaderboard:lookup_leader(Name) =:= undefined]
    end.

%% --- small things

%% The nodes that a first start was told of.
group() ->
    Entries = string:lexemes(os:getenv("QUORATE_GROUP", ""), ","),
    [list_to_atom(lists:last(string:lexemes(Entry, "="))) || Entry <- Entries].

quorum_queues() ->
    [Queue || Queue <- rabbit_amqqueue:list(), amqqueue:get_type(Queue) =:= rabbit_quorum_queue].

nodes_of(Queue) ->
    maps:get(nodes, amqqueue:get_type_state(Queue), []).

is_own(Queue) ->
    amqqueue:get_name(Queue) =:= ?QUEUE.

is_working(State) ->
    State =:= leader orelse State =:= follower.

state_of(Name) ->
    case ets:lookup(ra_state, Name) of [{_, State}] -> State; [] -> undefined end.

state_of(Node, Name) when Node =:= node() -> catch state_of(Name);
state_of(Node, Name) -> rpc:call(Node, ?MODULE, state_of, [Name], 2000).

name_of(Node) ->
    hd(string:split(atom_to_list(Node), "_")).

id_of(undefined) ->
    "";
id_of(Node) ->
    lists:last(string:lexemes(hd(string:split(atom_to_list(Node), "@")), "_")).

find(Id, Nodes) ->
    case [Node || Node <- Nodes, id_of(Node) =:= Id] of [Node | _] -> Node; [] -> undefined end.

secret(Name) ->
    {ok, Text} = file:read_file(filename:join(os:getenv("QUORATE_CREDENTIALS_DIR"), Name)),
    string:trim(Text, trailing, "\n").

until(Condition) ->
    until(Condition, deadline(10000)).

until(Condition, EndMs) ->
    case catch Condition() of
        true -> ok;
        _ -> case now_ms() < EndMs of true -> timer:sleep(50), until(Condition, EndMs); false -> timeout end
    end.

now_ms() -> erlang:monotonic_time(millisecond).
deadline(Ms) -> now_ms() + Ms.
say(Format, Arguments) -> io:format(standard_error, Format ++ "~n", Arguments).
