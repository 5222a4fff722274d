%% Accounts of applications, each with a virtual host, made inside of the broker: passwords are on no command line, and every member
%% has them at once.
-module(quorate_accounts).
-export([make/2, forget_epoch/0, take/1, cookie_digest/0, set_cookie/0]).

-include_lib("amqp_client/include/amqp_client.hrl").
-include_lib("kernel/include/file.hrl").

-define(USER, <<"quorate">>).
%% What tells those that were made here from others.
-define(TAG, quorate_account).
%% The latest epoch in which accounts were made.
-define(EPOCH, quorate_accounts_epoch).
%% What a Secret holds has reached every node after so long: a minute between two looks of the kubelet, and a minute of its cache.
-define(SPREAD_SECONDS, 120).

%% Makes the accounts of the file, and logs in to each. Of those that it made before, the others can log in no more.
make(Epoch, File) ->
    claim(Epoch),
    {ok, Text} = file:read_file(File),
    Lines = [string:split(Line, "\t", all) || Line <- string:split(Text, "\n", all), Line =/= <<>>],
    lists:foreach(fun lock/1, made() -- [Name || [Name | _] <- Lines]),
    lists:foreach(fun(Line) -> claim(Epoch), make_one(Line) end, Lines),
    "".

%% Refuses an epoch that is over: whoever asks in it knows less than who came after.
claim(Epoch) ->
    case rabbit_runtime_parameters:value_global(?EPOCH, 0) of
        Epoch -> ok;
        Latest when Latest > Epoch -> quorate_broker:refuse("accounts were made in a later epoch, by another leader", []);
        _ -> rabbit_runtime_parameters:set_global(?EPOCH, Epoch, ?USER)
    end.

%% Of a broker that goes on alone, whose elections may count from further below.
forget_epoch() ->
    rabbit_runtime_parameters:set_global(?EPOCH, 0, ?USER).

make_one([Name, Host, Key | Rules]) ->
    lists:member(Name, [?USER, <<"admin">>, <<"guest">>]) andalso
        quorate_broker:refuse("account ~s: the name is the broker's own", [Name]),
    Host =:= <<"quorate">> andalso quorate_broker:refuse("account ~s: virtual host ~s is not for applications", [Name, Host]),
    Password = password(Key),
    Permissions = permissions(Rules),
    rabbit_vhost:exists(Host) orelse rabbit_vhost:add(Host, ?USER),
    rabbit_auth_backend_internal:exists(Name) orelse rabbit_auth_backend_internal:add_user(Name, Password, ?USER),
    lists:member(Name, made()) orelse (ok = rabbit_auth_backend_internal:set_tags(Name, [?TAG], ?USER)),
    Held = [{proplists:get_value(vhost, Row), [proplists:get_value(Kind, Row) || Kind <- [configure, write, read]]}
        || Row <- rabbit_auth_backend_internal:list_user_permissions(Name)],
    proplists:get_value(Host, Held) =:= Permissions orelse
        apply(rabbit_auth_backend_internal, set_permissions, [Name, Host | Permissions] ++ [?USER]),
    [rabbit_auth_backend_internal:clear_permissions(Name, Other, ?USER) || {Other, _} <- Held, Other =/= Host],
    case logs_in(Name, Host, Password) of
        true ->
            ok;
        _ ->
            _ = rabbit_auth_backend_internal:change_password(Name, Password, ?USER),
            % A virtual host that is new comes up at each member in its own time.
            quorate_broker:until(fun() -> logs_in(Name, Host, Password) end) =:= ok orelse
                quorate_broker:refuse("account ~s cannot log in to virtual host ~s", [Name, Host])
    end.

%% What a rule does not name is allowed to nobody; without rules all is allowed.
permissions([]) ->
    [<<".*">>, <<".*">>, <<".*">>];
permissions(Rules) ->
    Named = [list_to_tuple(string:split(Rule, " ")) || Rule <- Rules],
    [proplists:get_value(Kind, Named, <<>>) || Kind <- [<<"configure">>, <<"write">>, <<"read">>]].

password(Key) ->
    case catch quorate_broker:secret(Key) of
        Password when is_binary(Password), Password =/= <<>> -> Password;
        _ -> quorate_broker:refuse("no password for account ~s", [Key])
    end.

%% As a client on the network does.
logs_in(Name, Host, Password) ->
    {ok, _} = application:ensure_all_started(amqp_client),
    Parameters = #amqp_params_network{host = os:getenv("QUORATE_LISTEN_HOST", "127.0.0.1"),
        port = list_to_integer(os:getenv("QUORATE_PORT")), virtual_host = Host, username = Name, password = Password,
        connection_timeout = 3000},
    case amqp_connection:start(Parameters) of
        {ok, Connection} -> catch amqp_connection:close(Connection), true;
        _ -> false
    end.

%% Takes up changed passwords of the broker's own users, which members share, and a changed cookie. Members get them each in its own time:
%% whoever leads puts them in force when every member must have them. Says "taken", or "waiting". Connections that are open stay open.
take(Epoch) ->
    Users = [Name || Name <- [?USER, <<"admin">>], rabbit_auth_backend_internal:exists(Name)],
    Taken = [take_cookie(Epoch) | [take_user(Name, Epoch) || Name <- Users]],
    case lists:usort(Taken) of [true] -> "taken"; _ -> "waiting" end.

take_user(Name, Epoch) ->
    Password = password(Name),
    case rabbit_auth_backend_internal:user_login_authentication(Name, [{password, Password}]) of
        {ok, _} ->
            true;
        _ ->
            Epoch > 0 andalso age_seconds(Name) >= ?SPREAD_SECONDS andalso begin
                claim(Epoch),
                _ = rabbit_auth_backend_internal:change_password(Name, Password, ?USER),
                logs_in(Name, <<"quorate">>, Password) orelse quorate_broker:refuse("user ~s cannot log in with its new password", [Name])
            end
    end.

%% Nodes have one cookie, and take nobody's connection with another: so all that are connected change theirs at once. A node that was not
%% does so by itself a while later.
take_cookie(Epoch) ->
    has_cookie() orelse
        (age_seconds(<<"cookie">>) >= 2 * ?SPREAD_SECONDS andalso set_cookie()) orelse
        (Epoch > 0 andalso age_seconds(<<"cookie">>) >= ?SPREAD_SECONDS andalso set_cookies(rabbit_nodes:all_running())).

set_cookies(Nodes) ->
    rpc:multicall(Nodes, ?MODULE, cookie_digest, [], 5000) =:= {[cookie_digest() || _ <- Nodes], []} andalso
        rpc:multicall(Nodes, ?MODULE, set_cookie, [], 5000) =:= {[true || _ <- Nodes], []}.

cookie() -> binary_to_atom(password(<<"cookie">>), utf8).
has_cookie() -> erlang:get_cookie() =:= cookie().

%% Of what this member was brought; the same everywhere once every member has it.
cookie_digest() -> crypto:hash(sha256, password(<<"cookie">>)).

%% For the node, and for the broker's own command line.
set_cookie() ->
    File = filename:join(os:getenv("QUORATE_RUN_DIR"), ".erlang.cookie"),
    ok = file:write_file(File ++ ".new", password(<<"cookie">>)),
    ok = file:change_mode(File ++ ".new", 8#400),
    ok = file:rename(File ++ ".new", File),
    erlang:set_cookie(node(), cookie()).

%% How long ago this member was brought its files of passwords.
age_seconds(Key) ->
    {ok, #file_info{mtime = At}} = file:read_file_info(filename:join(os:getenv("QUORATE_CREDENTIALS_DIR"), Key), [{time, posix}]),
    erlang:system_time(second) - At.

made() ->
    [proplists:get_value(user, User) || User <- rabbit_auth_backend_internal:list_users(),
        lists:member(?TAG, proplists:get_value(tags, User))].

%% What it has in its virtual host stays, and so do its permissions: it comes back with them.
lock(Name) ->
    rabbit_auth_backend_internal:clear_password(Name, ?USER).
