-- Timeline and end of the local log; an error while it is still being replayed.
\ir session.sql
EXECUTE observe \gset
SELECT :'observation'::json #>> '{position,history}', :'observation'::json #>> '{position,value}';
