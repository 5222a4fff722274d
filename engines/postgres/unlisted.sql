-- Accounts that were made here and are not wanted any more can log in no more. What they own stays.
\getenv listed QUORATE_LISTED
SELECT format('ALTER ROLE %I NOLOGIN', account.rolname)
FROM pg_auth_members AS member
JOIN pg_roles AS family ON family.oid = member.roleid AND family.rolname = 'quorate_accounts'
JOIN pg_roles AS account ON account.oid = member.member
WHERE account.rolcanlogin AND account.rolname <> ALL (string_to_array(:'listed', ','))
\gexec
