%% Finds nodes without a daemon: a node's name, MEMBER_PORT_IDENTITY@HOST, says where it listens. Stands in for erl_epmd.
-module(quorate_addresses).
-export([start_link/0, register_node/2, register_node/3, address_please/3, port_please/2, port_please/3]).
-export([listen_port_please/2, names/0, names/1]).

-define(DISTRIBUTION_VERSION, 6).

start_link() ->
    ignore.

register_node(Name, Port) ->
    register_node(Name, Port, inet).

%% Tells one start of a node from the next.
register_node(_Name, _Port, _Family) ->
    <<Creation:32>> = crypto:strong_rand_bytes(4),
    {ok, max(4, Creation)}.

%% A broker that is being made, or made to go on alone, reaches nobody.
address_please(Name, Host, Family) ->
    case {os:getenv("QUORATE_ALONE", ""), port_of(Name)} of
        {"", Port} when Port > 0 -> resolve(Host, Family, Port);
        _ -> {error, address}
    end.

resolve(Host, Family, Port) ->
    case inet:getaddr(Host, Family) of
        {ok, Address} -> {ok, Address, Port, ?DISTRIBUTION_VERSION};
        Error -> Error
    end.

port_please(Name, Host) ->
    port_please(Name, Host, infinity).

port_please(Name, _Host, _Timeout) ->
    case port_of(Name) of
        0 -> noport;
        Port -> {port, Port, ?DISTRIBUTION_VERSION}
    end.

%% 0 for those that are not members, such as the broker's own command line: any port will do. Its name ends as that of the
%% node that it asks.
listen_port_please(Name, _Host) ->
    {ok, port_of(Name)}.

names() ->
    {error, address}.

names(_Host) ->
    {error, address}.

port_of(Name) when is_atom(Name) ->
    port_of(atom_to_list(Name));
port_of("rabbitmqcli-" ++ _) ->
    0;
port_of(Name) ->
    case re:run(Name, "^[^_@]+_([0-9]+)_[0-9a-f]+", [{capture, [1], list}]) of
        {match, [Port]} -> list_to_integer(Port);
        nomatch -> 0
    end.
