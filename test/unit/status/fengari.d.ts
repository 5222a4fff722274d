// The part of fengari, a Lua in JavaScript, that the tests use; it brings no types.
declare module "fengari" {
  type State = unknown;
  type LuaString = Uint8Array;
  export function to_luastring(text: string): LuaString;
  export function to_jsstring(text: LuaString): string;
  export const lauxlib: {
    luaL_newstate(): State;
    luaL_dostring(state: State, source: LuaString): number;
  };
  export const lualib: { luaL_openlibs(state: State): void };
  export const lua: {
    readonly LUA_OK: number;
    lua_getfield(state: State, at: number, name: LuaString): number;
    lua_newtable(state: State): void;
    lua_pop(state: State, count: number): void;
    lua_pushboolean(state: State, value: boolean): void;
    lua_pushinteger(state: State, value: number): void;
    lua_pushnil(state: State): void;
    lua_pushnumber(state: State, value: number): void;
    lua_pushstring(state: State, text: LuaString): void;
    lua_setglobal(state: State, name: LuaString): void;
    lua_settable(state: State, at: number): void;
    lua_tojsstring(state: State, at: number): string;
    lua_tostring(state: State, at: number): LuaString;
  };
}
