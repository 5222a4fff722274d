// quorate-init: PID 1 of an engine's container.
//
// It starts the agent, starts the engine when the agent asks for it, reaps every orphan, and holds the fence deadline:
// an instant on CLOCK_BOOTTIME that the agent can only move later. When it passes, every process but this one is killed,
// and only when none is left is the member "fenced". The death of the agent does not touch the engine.
//
// A process of the engine is every process of the pid namespace but this one, the agent and the agent's descendants.
// Processes entered from outside (kubectl exec) therefore count. What a dead agent leaves in its session is killed with it.
// When this program is not PID 1 it becomes a child subreaper and knows only its own descendants.
//
// Lines on the agent's descriptor 3 are described in docs/adr/0002-quorate-init.md.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef int64_t ns_t; // nanoseconds of CLOCK_BOOTTIME, the clock that counts a suspended machine's time
#define MS ((ns_t)1000000)
#define FENCE_AHEAD_MAX (300000 * MS) // a deadline beyond it is a mistake of units, and would be no fence
#define AGENT_LOST (5000 * MS)        // after SIGTERM: how long the engine waits for an agent before it is stopped without
#define AGENT_SETTLED (10000 * MS)    // an agent that lived so long is restarted without delay
enum { LINE_BYTES = 65536, OUT_BYTES = 32768, ARENA_BYTES = 262144, WORDS_MAX = 256, ID_BYTES = 64, AGENT_FD = 3 };

static struct { const char *port; ns_t grace; int stop_signal; char **agent_argv; } option = {NULL, 50000 * MS, SIGTERM, NULL};
static struct {
    pid_t pid;
    int fd, restarts;
    bool greeted, exited_well, skipping; // skipping: the rest of an over-long line
    ns_t started_at, restart_at, backoff, lost_at, kill_at;
    char in[LINE_BYTES], out[OUT_BYTES];
    size_t in_bytes, out_bytes;
} agent = {.fd = -1};
static struct { pid_t pid; bool present, stopping; ns_t kill_at, look_at, look_every; char id[ID_BYTES + 1]; } engine = {.id = "-"};
static struct { bool armed, firing; ns_t deadline, fired_at; int count, timer; } fence;
static struct { char arena[ARENA_BYTES]; size_t used; char *env[WORDS_MAX]; int env_count; } pending; // of the next START
static DIR *proc;
static int log_fd = 2, listener = -1, signals = -1;
static bool is_pid_one;
static pid_t self;
static ns_t now, wake_at, terminating_at; // terminating_at: 0, or when SIGTERM came

static ns_t boottime(void)
{
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return (ns_t)t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void wake_by(ns_t at)
{
    if (at < wake_at) wake_at = at;
}

// One JSON line on stderr, at most 20 in 5 s. Never waits: a full log pipe must not delay the fence.
__attribute__((format(printf, 3, 4))) static void log_event(const char *event, pid_t pid, const char *fields, ...)
{
    static ns_t window;
    static int lines, dropped;
    ns_t at = boottime();
    if (at - window > 5000 * MS) window = at, lines = 0;
    struct pollfd writable = {.fd = log_fd, .events = POLLOUT};
    if (++lines > 20 || poll(&writable, 1, 0) != 1 || !(writable.revents & POLLOUT)) {
        dropped++;
        return;
    }
    char extra[256], line[512];
    va_list list;
    va_start(list, fields);
    vsnprintf(extra, sizeof extra, fields, list);
    va_end(list);
    int n = snprintf(line, sizeof line, "{\"program\":\"quorate-init\",\"event\":\"%s\",\"pid\":%d,\"ns\":%lld%s%s,\"dropped\":%d}\n",
                     event, (int)pid, (long long)at, *extra ? "," : "", extra, dropped);
    if (write(log_fd, line, (size_t)n) == n) dropped = 0;
}

// Queues one line for the agent; dropped while there is none. An agent that lets 32 KiB pile up is deaf, and is replaced.
__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...)
{
    if (agent.fd < 0) return;
    va_list list;
    va_start(list, format);
    size_t room = sizeof agent.out - agent.out_bytes;
    int n = vsnprintf(agent.out + agent.out_bytes, room, format, list);
    va_end(list);
    if (n < 0 || (size_t)n + 1 >= room) {
        kill(agent.pid, SIGKILL);
        return;
    }
    agent.out_bytes += (size_t)n;
    agent.out[agent.out_bytes++] = '\n';
}

// ---- Processes, as /proc shows them ----

enum presence { GONE, PRESENT, UNKNOWN };
struct process { pid_t parent, session; bool alive; };

static enum presence read_process(pid_t pid, struct process *process)
{
    char path[32], text[512], state;
    int threads;
    snprintf(path, sizeof path, "%d/stat", (int)pid);
    int fd = openat(dirfd(proc), path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return errno == ENOENT || errno == ESRCH ? GONE : UNKNOWN;
    ssize_t n = read(fd, text, sizeof text - 1);
    int error = errno;
    close(fd);
    if (n <= 0) return n < 0 && error == ESRCH ? GONE : UNKNOWN;
    text[n] = '\0';
    const char *rest = strrchr(text, ')'); // the name before it may hold anything
    if (!rest || sscanf(rest + 1, " %c %d %*s %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d", &state,
                        &process->parent, &process->session, &threads) != 4)
        return UNKNOWN;
    process->alive = (state != 'Z' && state != 'X') || threads > 1; // a dead main thread may leave others running
    return PRESENT;
}

enum owner { OTHERS, OUTSIDE, AGENTS, ENGINES, UNCLEAR };

static enum owner owner_of(pid_t pid, struct process process)
{
    for (;;) {
        if (pid == agent.pid) return AGENTS;
        if (process.parent == self) return ENGINES;
        if (process.parent == 0) return is_pid_one ? OUTSIDE : OTHERS;
        pid = process.parent;
        if (read_process(pid, &process) != PRESENT) return UNCLEAR;
    }
}

enum scope { OF_ENGINE, OF_ENGINE_STOPPED, OF_AGENT_SESSION, OF_ALL }; // OF_ENGINE_STOPPED: outsiders are killed

static int visit(pid_t pid, enum scope scope, int sig, pid_t session)
{
    // The descriptor keeps a recycled pid on a shared host from being hit; alone in a namespace there is nobody else.
    int pidfd = is_pid_one ? -1 : (int)syscall(SYS_pidfd_open, pid, 0);
    struct process process;
    enum owner owner = UNCLEAR;
    enum presence presence = PRESENT;
    for (int tries = 0; tries < 3 && owner == UNCLEAR && presence == PRESENT; tries++) // a parent may end meanwhile
        if ((presence = read_process(pid, &process)) == PRESENT) owner = owner_of(pid, process);
    bool alive = presence == UNKNOWN || (presence == PRESENT && process.alive);
    bool ours = owner != OTHERS && (scope == OF_ALL || (scope == OF_AGENT_SESSION ? process.session == session : owner != AGENTS));
    if (scope == OF_ENGINE_STOPPED && owner == OUTSIDE) sig = SIGKILL;
    if (alive && ours && (owner != UNCLEAR || is_pid_one)) {
        int failed = is_pid_one ? kill(pid, sig) : (int)syscall(SYS_pidfd_send_signal, pidfd, sig, NULL, 0);
        if (failed && errno == EPERM) ours = false; // another user's, a debug container's: none that we started
    }
    if (pidfd >= 0) close(pidfd);
    return alive && ours;
}

// Sends sig (0: none) to every living process in scope and returns how many there are; what is unclear counts as living.
static int sweep(enum scope scope, int sig, pid_t session)
{
    int living = 0;
    rewinddir(proc);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(proc)); errno = 0) {
        pid_t pid = (pid_t)strtol(entry->d_name, NULL, 10);
        if (pid > 0 && pid != self) living += visit(pid, scope, sig, session);
    }
    return living + (errno != 0);
}

static bool engine_lives(void)
{
    return engine.pid != 0 || sweep(OF_ENGINE, 0, 0) > 0;
}

// ---- Starting processes ----

static void raise_oom_score(void)
{
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
    if (fd < 0) return;
    if (read(fd, text, sizeof text - 1) > 0) {
        int score = atoi(text) + 500;
        dprintf(fd, "%d", score > 1000 ? 1000 : score);
    }
    close(fd);
}

// Forks and executes argv in a session of its own. agent_end is the agent's descriptor, or -1 for the engine.
static pid_t spawn(char **argv, int agent_end)
{
    pid_t pid = fork();
    if (pid != 0) return pid;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL); // the kernel does as much, and more, when PID 1 dies
    if (getppid() != self) _exit(126);
    if (agent_end >= 0) {
        if (agent_end == AGENT_FD) fcntl(AGENT_FD, F_SETFD, 0);
        else dup2(agent_end, AGENT_FD);
    } else {
        raise_oom_score();
        unsetenv("QUORATE_INIT_FD");
        for (int i = 0; i < pending.env_count; i++) putenv(pending.env[i]);
        // A dying PID 1 closes its files before the kernel kills the rest. With the engine holding the listener too,
        // "connection refused" means that no process of the engine runs any more.
        if (listener >= 0) fcntl(listener, F_SETFD, 0);
    }
    execvp(argv[0], argv);
    log_event("exec-failed", getpid(), "\"errno\":%d", errno);
    _exit(127);
}

static void start_agent(void)
{
    int pair[2] = {-1, -1};
    pid_t pid = -1;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
        pid = spawn(option.agent_argv, pair[1]);
        close(pair[1]);
    }
    agent.started_at = now;
    if (pid < 0) {
        if (pair[0] >= 0) close(pair[0]);
        agent.restart_at = now + 1000 * MS;
        log_event("agent-start-failed", 0, "\"errno\":%d", errno);
        return;
    }
    agent.pid = pid;
    agent.fd = pair[0];
    agent.greeted = agent.skipping = false;
    agent.in_bytes = agent.out_bytes = 0;
    agent.kill_at = 0;
    log_event("agent-start", pid, "\"restarts\":%d", agent.restarts);
}

// ---- The agent's lines: each verb returns NULL (answered OK), ANSWERED, or what is wrong ----

static const char ANSWERED[] = "";

static bool parse_number(const char *text, int64_t max, int64_t *number)
{
    size_t digits = text ? strspn(text, "0123456789") : 0;
    if (digits == 0 || digits > 19 || text[digits]) return false;
    errno = 0;
    *number = strtoll(text, NULL, 10);
    return errno == 0 && *number <= max;
}

// Decodes standard base64 into the arena; NULL when malformed, too long, or holding a NUL.
static char *decode(const char *text)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t length = text ? strlen(text) : 1, bytes = length / 4 * 3;
    if (length % 4 || pending.used + bytes + 1 > sizeof pending.arena) return NULL;
    char *start = pending.arena + pending.used, *out = start;
    int padding = length && text[length - 1] == '=' ? 1 + (text[length - 2] == '=') : 0;
    for (size_t i = 0; i < length; i += 4) {
        uint32_t group = 0;
        for (size_t k = i; k < i + 4; k++) {
            const char *digit = strchr(alphabet, text[k]);
            if (!digit && k < length - (size_t)padding) return NULL;
            group = group << 6 | (digit ? (uint32_t)(digit - alphabet) : 0);
        }
        for (int shift = 16; shift >= 0; shift -= 8) *out++ = (char)(group >> shift);
    }
    out = start + bytes - padding;
    *out = '\0';
    if (strlen(start) != bytes - (size_t)padding) return NULL;
    pending.used += bytes + 1;
    return start;
}

static const char *on_hello(char *rest)
{
    if (rest) return "takes no argument";
    const char *state = engine.pid ? "running" : engine_lives() ? "gone-partial" : "stopped";
    agent.greeted = true;
    tell("STATE engine=%s pid=%d id=%s armed=%d deadline=%lld now=%lld agentRestarts=%d fenced=%d", state, (int)engine.pid,
         engine.id, fence.armed, (long long)(fence.armed ? fence.deadline : 0), (long long)boottime(), agent.restarts, fence.count);
    if (terminating_at) tell("TERM");
    return ANSWERED;
}

static const char *on_now(char *rest)
{
    if (rest) return "takes no argument";
    tell("NOW %lld", (long long)boottime());
    return ANSWERED;
}

static const char *on_env(char *rest)
{
    char *entry = decode(rest);
    if (!entry || !strchr(entry, '=') || *entry == '=') return "malformed";
    if (pending.env_count == WORDS_MAX) return "too many";
    pending.env[pending.env_count++] = entry;
    return NULL;
}

static const char *start_engine(char *rest)
{
    char *id = strsep(&rest, " "), *argv[WORDS_MAX + 1];
    int64_t count;
    if (!id || !*id || strlen(id) > ID_BYTES || strcmp(id, "-") == 0) return "malformed id";
    if (!parse_number(strsep(&rest, " "), WORDS_MAX, &count) || count < 1) return "malformed argument count";
    for (int64_t i = 0; i < count; i++)
        if (!(argv[i] = decode(strsep(&rest, " ")))) return "malformed argument";
    if (rest || !*argv[0]) return "malformed argument count";
    argv[count] = NULL;
    if (engine_lives()) return "an engine process lives";
    pid_t pid = spawn(argv, -1);
    if (pid < 0) return "cannot fork";
    engine.pid = pid;
    engine.present = true;
    engine.stopping = false;
    memcpy(engine.id, id, strlen(id) + 1);
    tell("STARTED %s %d", engine.id, (int)pid);
    log_event("engine-start", pid, "\"armed\":%d", fence.armed);
    return ANSWERED;
}

static const char *on_start(char *rest)
{
    const char *answer = start_engine(rest);
    pending.used = 0;
    pending.env_count = 0;
    return answer;
}

static const char *on_fence(char *rest)
{
    int64_t deadline;
    ns_t at = boottime();
    if (!parse_number(rest, INT64_MAX, &deadline)) return "malformed";
    if (fence.armed && (at >= fence.deadline)) return "the deadline has passed";
    if (fence.armed && deadline < fence.deadline) return "earlier than the current deadline";
    if (deadline <= at) return "in the past";
    if (deadline > at + FENCE_AHEAD_MAX) return "too far ahead";
    struct itimerspec timer = {.it_value = {.tv_sec = deadline / (1000 * MS), .tv_nsec = deadline % (1000 * MS)}};
    if (timerfd_settime(fence.timer, TFD_TIMER_ABSTIME, &timer, NULL)) return "timerfd_settime";
    fence.armed = true;
    fence.deadline = deadline;
    return NULL;
}

static const char *on_disarm(char *rest)
{
    if (rest) return "takes no argument";
    if (engine_lives()) return "an engine process lives";
    fence.armed = false;
    timerfd_settime(fence.timer, 0, &(struct itimerspec){0}, NULL);
    return NULL;
}

static const char *on_signal(char *rest)
{
    int64_t sig;
    if (!parse_number(rest, SIGRTMAX, &sig) || sig < 1) return "malformed";
    if (!engine.pid) return "no engine runs";
    return kill(engine.pid, (int)sig) ? strerror(errno) : NULL;
}

static void stop_engine(int sig, ns_t kill_at)
{
    if (sig && engine.pid) kill(engine.pid, sig);
    engine.stopping = true;
    engine.kill_at = kill_at;
    engine.look_at = engine.look_every = 0;
}

static const char *on_stop(char *rest)
{
    int64_t sig, grace_ms;
    if (!parse_number(strsep(&rest, " "), SIGRTMAX, &sig) || sig < 1) return "malformed signal";
    if (!parse_number(rest, 86400000, &grace_ms)) return "malformed grace";
    stop_engine((int)sig, boottime() + grace_ms * MS);
    return NULL;
}

static const char *on_kill(char *rest)
{
    if (rest) return "takes no argument";
    stop_engine(0, 0);
    return NULL;
}

static void obey(char *line, size_t length)
{
    static const struct { const char *verb; const char *(*obey)(char *rest); } verbs[] = {
        {"FENCE", on_fence}, {"NOW", on_now}, {"HELLO", on_hello}, {"ENV", on_env}, {"START", on_start},
        {"DISARM", on_disarm}, {"SIGNAL", on_signal}, {"STOP", on_stop}, {"KILL", on_kill}};
    char *rest = line, *verb = strlen(line) == length ? strsep(&rest, " ") : NULL;
    for (size_t i = 0; verb && i < sizeof verbs / sizeof *verbs; i++) {
        if (strcmp(verb, verbs[i].verb) != 0) continue;
        const char *answer = verbs[i].obey(rest);
        if (!answer) tell("OK %s", verbs[i].verb);
        else if (answer != ANSWERED) tell("ERR %s %s", verbs[i].verb, answer);
        return;
    }
    tell("ERR ? unknown verb");
}

// Obeys every whole line read so far, as long as there is room for the answers.
static void obey_lines(void)
{
    size_t start = 0;
    char *end;
    while (!fence.firing && agent.out_bytes < OUT_BYTES / 2 && (end = memchr(agent.in + start, '\n', agent.in_bytes - start))) {
        *end = '\0';
        size_t length = (size_t)(end - agent.in) - start;
        if (agent.skipping) tell("ERR ? line too long");
        else obey(agent.in + start, length);
        agent.skipping = false;
        start += length + 1;
    }
    memmove(agent.in, agent.in + start, agent.in_bytes -= start);
    if (agent.in_bytes == LINE_BYTES && !memchr(agent.in, '\n', LINE_BYTES)) agent.skipping = true, agent.in_bytes = 0;
}

static void hang_up(void)
{
    if (agent.fd >= 0) close(agent.fd);
    agent.fd = -1;
    agent.in_bytes = agent.out_bytes = 0;
}

// Reads once; false at the end, on an error, or when nothing is there.
static bool read_agent(void)
{
    ssize_t n = agent.in_bytes < LINE_BYTES ? recv(agent.fd, agent.in + agent.in_bytes, LINE_BYTES - agent.in_bytes, MSG_DONTWAIT) : 0;
    if (n > 0) agent.in_bytes += (size_t)n;
    else if (agent.in_bytes < LINE_BYTES && (n == 0 || errno != EAGAIN)) {
        hang_up(); // an agent that cannot be heard is replaced, but may be on its way out
        agent.kill_at = now + 1000 * MS;
    }
    return n > 0;
}

static void write_agent(void)
{
    if (agent.fd < 0 || agent.out_bytes == 0) return;
    ssize_t n = send(agent.fd, agent.out, agent.out_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) memmove(agent.out, agent.out + n, agent.out_bytes -= (size_t)n);
}

// ---- What ended ----

static void agent_ended(pid_t pid, int status)
{
    agent.pid = 0;
    if (agent.greeted) agent.lost_at = now;
    agent.greeted = false;
    agent.exited_well = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (fence.firing) {
        hang_up();
        return;
    }
    do { // its last words count
        obey_lines();
        agent.out_bytes = 0;
    } while (agent.fd >= 0 && read_agent());
    hang_up();
    sweep(OF_AGENT_SESSION, SIGKILL, pid);
    agent.restarts++;
    if (now - agent.started_at >= AGENT_SETTLED) agent.backoff = 0;
    agent.restart_at = now + agent.backoff;
    agent.backoff = agent.backoff == 0 ? 100 * MS : agent.backoff >= 500 * MS ? 1000 * MS : agent.backoff * 2;
    log_event("agent-exit", pid, "\"%s\":%d", WIFEXITED(status) ? "code" : "signal", WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
}

static void reap(void)
{
    int status;
    pid_t pid;
    for (int i = 0; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0; i++) {
        if (pid == agent.pid) agent_ended(pid, status);
        if (pid == engine.pid) {
            const char *how = WIFEXITED(status) ? "code" : "signal";
            int value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
            engine.pid = 0;
            tell("EXITED %s %s=%d", engine.id, how, value);
            log_event("engine-exit", pid, "\"%s\":%d", how, value);
        }
        engine.look_at = engine.look_every = 0;
        if (i == 256) { // a storm of deaths must not keep us from the deadline
            wake_by(now);
            return;
        }
    }
}

// ---- What is due: each of these looks at the time, acts, and says when it wants to be asked again ----

static void engine_is_gone(void)
{
    log_event("engine-gone", 0, "\"stopping\":%d", engine.stopping);
    tell("GONE %s", engine.id);
    strcpy(engine.id, "-");
    engine.pid = 0;
    engine.present = engine.stopping = false;
}

static void drive_engine(void)
{
    if (!engine.present && !engine.stopping) return;
    bool killing = engine.stopping && now >= engine.kill_at;
    if (engine.stopping && !killing) wake_by(engine.kill_at);
    if (engine.pid && !killing) return;
    if (now >= engine.look_at) {
        enum scope scope = engine.stopping ? OF_ENGINE_STOPPED : OF_ENGINE;
        if (killing && engine.pid) kill(-engine.pid, SIGKILL); // the whole group at once: nothing forks its way out
        int sig = killing ? SIGKILL : 0, living = sweep(scope, sig, 0);
        if (living == 0) living = sweep(scope, sig, 0); // again: a pid that wrapped around may have been missed
        if (living == 0) reap();
        if (living == 0 && engine.pid == 0) {
            engine_is_gone();
            return;
        }
        ns_t slowest = killing ? 50 * MS : 500 * MS; // ends are told by SIGCHLD, but not those of processes from outside
        engine.look_every = engine.look_every * 2 < 5 * MS ? 5 * MS : engine.look_every * 2;
        if (engine.look_every > slowest) engine.look_every = slowest;
        engine.look_at = now + engine.look_every;
    }
    wake_by(engine.look_at);
}

static void finish(int code)
{
    for (; sweep(OF_ALL, SIGKILL, 0) > 0; reap()) usleep(2000);
    log_event("exit", self, "\"code\":%d", code);
    exit(code);
}

static void drive_fence(void)
{
    if (fence.armed && !fence.firing && now >= fence.deadline) {
        fence.firing = true;
        fence.fired_at = boottime();
    }
    if (!fence.firing) return;
    if (is_pid_one) kill(-1, SIGKILL); // everyone but us in one step, so that nobody can fork in between
    int living = sweep(OF_ALL, SIGKILL, 0);
    reap();
    if (living > 0 || agent.pid || engine.pid) { // a process in uninterruptible sleep keeps us here: it is not gone
        wake_by(now + 10 * MS);
        return;
    }
    fence.count++;
    log_event("fenced", engine.pid, "\"deadline\":%lld,\"firedLateNs\":%lld,\"goneLateNs\":%lld", (long long)fence.deadline,
              (long long)(fence.fired_at - fence.deadline), (long long)(boottime() - fence.deadline));
    fence.armed = fence.firing = false;
    if (engine.present) engine_is_gone();
    engine.stopping = false;
    if (terminating_at) finish(128 + SIGTERM);
    agent.restarts++;
    agent.restart_at = now;
}

static void drive_agent(void)
{
    if (fence.firing) return;
    if (agent.pid && agent.kill_at && now >= agent.kill_at) kill(agent.pid, SIGKILL), agent.kill_at = 0;
    if (agent.pid && agent.kill_at) wake_by(agent.kill_at);
    if (terminating_at && !agent.pid && agent.exited_well && !engine.present) finish(0);
    if (!agent.pid && now >= agent.restart_at) start_agent();
    if (!agent.pid) wake_by(agent.restart_at);
    if (!terminating_at || agent.greeted) return;
    ns_t lost_until = (agent.lost_at > terminating_at ? agent.lost_at : terminating_at) + AGENT_LOST;
    if (now < lost_until) wake_by(lost_until);
    else if (!engine.present) finish(128 + SIGTERM);
    else if (!engine.stopping) {
        log_event("stop-without-agent", engine.pid, "\"signal\":%d", option.stop_signal);
        stop_engine(option.stop_signal, terminating_at + option.grace);
        wake_by(now);
    }
}

static void read_signals(void)
{
    struct signalfd_siginfo info;
    while (read(signals, &info, sizeof info) == sizeof info) {
        if (info.ssi_signo == SIGCHLD) continue;
        log_event("term", self, "\"signal\":%u", info.ssi_signo);
        if (!terminating_at) terminating_at = now;
        tell("TERM");
    }
}

static int listen_on(const char *port)
{
    // A dual-stack socket where the node has IPv6, else IPv4. Port 0 takes a free one and logs it.
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0), no = 0, yes = 1;
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)atoi(port))};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = any6.sin6_port};
    if (fd >= 0) {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &no, sizeof no);
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(fd, (struct sockaddr *)&any6, sizeof any6) == 0 && listen(fd, 128) == 0) return fd;
        close(fd);
    }
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    return bind(fd, (struct sockaddr *)&any4, sizeof any4) == 0 && listen(fd, 128) == 0 ? fd : -1;
}

static void fail(const char *what)
{
    fprintf(stderr, "quorate-init: %s\n", what);
    exit(2);
}

static void parse_options(int argc, char **argv)
{
    int64_t number;
    int i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i += 2) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (strcmp(argv[i], "--port") == 0 && parse_number(value, 65535, &number)) option.port = value;
        else if (strcmp(argv[i], "--grace-ms") == 0 && parse_number(value, 86400000, &number)) option.grace = number * MS;
        else if (strcmp(argv[i], "--stop-signal") == 0 && parse_number(value, SIGRTMAX, &number)) option.stop_signal = (int)number;
        else fail("usage: quorate-init [--port N] [--grace-ms N] [--stop-signal N] -- agent [argument...]");
    }
    if (i + 1 >= argc) fail("the agent's command is missing after --");
    option.agent_argv = argv + i + 1;
}

static void set_up(void)
{
    sigset_t all, wanted;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sigemptyset(&wanted);
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGUSR1}; // images choose their STOPSIGNAL
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) sigaddset(&wanted, numbers[i]);
    self = getpid();
    is_pid_one = self == 1;
    if (!is_pid_one && prctl(PR_SET_CHILD_SUBREAPER, 1)) fail("cannot become a child subreaper");
    if (!(proc = opendir("/proc")) || !readdir(proc)) fail("/proc is needed to know which processes live");
    signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    fence.timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    if (signals < 0 || fence.timer < 0) fail("signalfd or timerfd");
    if (option.port && (listener = listen_on(option.port)) < 0) fail("cannot listen on the port");
    int own = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC); // O_NONBLOCK for us alone
    if (own >= 0) log_fd = own;
    mlockall(MCL_CURRENT | MCL_FUTURE); // best effort: no page fault between the deadline and the kill
    setenv("QUORATE_INIT_FD", "3", 1);
    struct sockaddr_in6 bound = {0};
    socklen_t size = sizeof bound;
    if (listener >= 0) getsockname(listener, (struct sockaddr *)&bound, &size);
    log_event("start", self, "\"port\":%d,\"pidOne\":%d", ntohs(bound.sin6_port), is_pid_one);
}

int main(int argc, char **argv)
{
    parse_options(argc, argv);
    set_up();
    for (;;) {
        now = boottime();
        wake_at = INT64_MAX;
        reap();
        drive_fence(); // first: nothing that the agent says may pass a deadline that is over
        if (agent.fd >= 0) obey_lines();
        drive_engine();
        drive_agent();
        write_agent();
        struct pollfd polled[] = {{.fd = signals, .events = POLLIN},
                                  {.fd = fence.timer, .events = POLLIN},
                                  {.fd = agent.fd, .events = 0},
                                  {.fd = listener, .events = POLLIN}};
        bool room = agent.out_bytes < OUT_BYTES / 2 && agent.in_bytes < LINE_BYTES && !fence.firing;
        polled[2].events = (short)((room ? POLLIN : 0) | (agent.out_bytes ? POLLOUT : 0));
        if (agent.fd >= 0 && !polled[2].events) polled[2].fd = -1; // nothing to ask: an end (POLLHUP) would spin
        bool lines_wait = room && memchr(agent.in, '\n', agent.in_bytes);
        ns_t wait = lines_wait ? 0 : wake_at - now;
        int timeout_ms = wait <= 0 ? 0 : wait > 60000 * MS ? 60000 : (int)((wait + MS - 1) / MS);
        poll(polled, 4, timeout_ms);
        now = boottime();
        uint64_t expirations;
        if (polled[1].revents && read(fence.timer, &expirations, sizeof expirations) > 0 && fence.armed) continue;
        if (polled[0].revents) read_signals();
        if (agent.fd >= 0 && polled[2].fd >= 0 && polled[2].revents) {
            write_agent();
            if (room && !fence.firing) read_agent();
        }
        for (int i = 0; polled[3].revents && i < 64; i++) {
            int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
            if (client < 0) break;
            close(client);
        }
    }
}
