%% How an empty node finds the cluster that it was invited to. Never makes one of its own when it finds none: a second
%% cluster under the same Service would take messages that nobody of the first gets.
-module(quorate_discovery).
-export([init/0, list_nodes/0, supports_registration/0, register/0, unregister/0, post_registration/0, lock/1, unlock/1]).

init() ->
    ok.

%% Whoever makes a new cluster has nobody to find.
list_nodes() ->
    Group = [Node || Node <- quorate_broker:group(), Node =/= node()],
    case Group =:= [] orelse lists:any(fun admits/1, Group) of
        true -> {ok, {Group, disc}};
        false -> refuse("no member of the group admits ~s", [node()])
    end.

admits(Node) ->
    rpc:call(Node, quorate_broker, admits, [node()], 5000) =:= true.

supports_registration() ->
    true.

%% Called once the database is there, and before any client can connect.
register() ->
    Group = quorate_broker:group() -- [node()],
    case Group =:= [] orelse rabbit_mnesia:cluster_nodes(all) -- [node()] =/= [] of
        true -> file:write_file(filename:join(os:getenv("QUORATE_DATA_DIR"), "joined"), <<>>, [sync]);
        false -> refuse("joined none of ~p", [Group])
    end.

unregister() ->
    ok.

post_registration() ->
    ok.

lock(_Node) ->
    not_supported.

unlock(_Data) ->
    ok.

refuse(Format, Arguments) ->
    io:format(standard_error, Format ++ "~n", Arguments),
    erlang:halt(1, [{flush, true}]).
