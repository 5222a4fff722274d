%% What the broker knows apart from messages: virtual hosts, users, permissions, policies, exchanges, queues and bindings, as JSON in the
%% form of its own export.
-module(quorate_definitions).
-export([export/0, import/1]).

%% Of these a new cluster has its own.
-define(VHOST, <<"quorate">>).
-define(USERS, [<<"quorate">>, <<"admin">>, <<"app">>]).
%% Users that quorate made for accounts of applications; they come back with passwords of the new cluster.
-define(TAG, <<"quorate_account">>).

%% How long the text is in bytes, and the text: whoever reads it can tell whether that is all.
export() ->
    All = rabbit_json:decode(rabbit_json:encode(rabbit_definitions:all_definitions())),
    Text = iolist_to_binary(rabbit_json:encode(maps:map(fun kept/2, All))),
    [integer_to_list(byte_size(Text)), " ", Text].

kept(<<"users">>, Users) ->
    [without_password(User) || #{<<"name">> := Name} = User <- Users, not lists:member(Name, ?USERS)];
kept(<<"vhosts">>, Hosts) ->
    [Host || #{<<"name">> := Name} = Host <- Hosts, Name =/= ?VHOST];
kept(<<"global_parameters">>, Parameters) ->
    [One || #{<<"name">> := Name} = One <- Parameters, not is_own(Name)];
kept(Kind, List) when Kind =:= <<"permissions">>; Kind =:= <<"topic_permissions">> ->
    [One || #{<<"user">> := User, <<"vhost">> := Host} = One <- List, Host =/= ?VHOST,
        User =:= <<"app">> orelse not lists:member(User, ?USERS)];
kept(_, List) when is_list(List) ->
    [One || One <- List, maps:get(<<"vhost">>, One, <<>>) =/= ?VHOST];
kept(_, Value) ->
    Value.

is_own(<<"quorate_", _/binary>>) -> true;
is_own(Name) -> lists:member(Name, [<<"internal_cluster_id">>, <<"cluster_name">>]).

without_password(#{<<"tags">> := Tags} = User) ->
    Listed = if is_list(Tags) -> Tags; true -> binary:split(Tags, <<",">>, [global]) end,
    case lists:member(?TAG, Listed) of
        true -> User#{<<"password_hash">> => <<>>};
        false -> User
    end.

%% What a file has of it, on top of what a new broker has.
import(File) ->
    {ok, Text} = file:read_file(File),
    case rabbit_definitions:import_raw(Text) of
        {error, Reason} -> error(Reason);
        _ -> ok
    end.
