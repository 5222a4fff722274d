// quorate-init: PID 1 of an engine's container.
//
// It starts the agent, starts the engine when the agent asks for it, reaps every orphan, and holds the fence deadline:
// an instant on CLOCK_BOOTTIME that the agent can only move later. When it passes, every process but this one is killed,
// and only when none is left is the member "fenced". The death of the agent does not touch the engine.
//
// A process of the engine is every process of the pid namespace but this one, the agent and the agent's descendants;
// those entered from outside (kubectl exec) count. What a dead agent leaves in its session is killed.
// When this program is not PID 1 it becomes a child subreaper and knows only its own descendants.
//
// The lines on the agent's descriptor 3, and why all is as it is: docs/adr/0002-quorate-init.md.
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
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
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

typedef int64_t ns_t; // nanoseconds of CLOCK_BOOTTIME, which counts the time of a suspended machine too
#define MS ((ns_t)1000000)
#define NEVER INT64_MAX
#define FENCE_AHEAD_MAX (300000 * MS) // what is beyond is a mistake of units, and would be no fence
#define AGENT_LOST (5000 * MS)        // after SIGTERM: how long the engine waits for an agent before it is stopped without
#define AGENT_SETTLED (10000 * MS)    // an agent that lived so long is restarted without delay
enum { LINE_BYTES = 65536, OUT_BYTES = 32768, WORDS_MAX = 256, ID_BYTES = 64, AGENT_FD = 3 };

static struct {
    int64_t port, grace_ms, stop_signal;
    char **agent, **quick_agent, choice[4096]; // choice: the file by which an agent leaves its place to another
} option = {-1, 50000, SIGTERM, NULL, NULL, ""};
static struct {
    pid_t pid;
    int fd, restarts;
    bool greeted, exited_well, unheard, skipping; // unheard: the last ended before it said HELLO. skipping: inside an over-long line
    ns_t started_at, restart_at, backoff, lost_at, kill_at;
    size_t in_bytes, out_bytes;
    char in[LINE_BYTES], out[OUT_BYTES];
} agent = {.fd = -1};
static struct { pid_t pid; bool present; ns_t kill_at, look_at; char id[ID_BYTES + 1]; } engine = {.kill_at = NEVER, .id = "-"};
static struct { ns_t deadline; bool firing; int count, timer; } fence; // deadline 0: not armed
static DIR *proc;
static int log_fd = STDERR_FILENO, listener = -1, signals = -1;
static pid_t self;
static ns_t now, wake_at, terminating_at; // terminating_at 0: no SIGTERM yet

static ns_t boottime(void) {
    struct timespec t;
    clock_gettime(CLOCK_BOOTTIME, &t);
    return t.tv_sec * 1000 * MS + t.tv_nsec;
}

static void wake_by(ns_t at) {
    if (at < wake_at) wake_at = at;
}

// One JSON line on stderr, at most 20 in 5 s. Never waits: a full log pipe must not delay the fence.
static void log_event(const char *event, pid_t pid, const char *key, int64_t value) {
    static ns_t window;
    static int lines, dropped;
    ns_t at = boottime();
    struct pollfd out = {.fd = log_fd, .events = POLLOUT};
    if (at - window > 5000 * MS) window = at, lines = 0;
    if (++lines > 20 || poll(&out, 1, 0) != 1) dropped++;
    else if (dprintf(log_fd, "{\"program\":\"quorate-init\",\"event\":\"%s\",\"pid\":%d,\"ns\":%jd,\"%s\":%jd,\"dropped\":%d}\n",
                     event, pid, (intmax_t)at, key, (intmax_t)value, dropped) > 0) dropped = 0;
}

// Queues a line for the agent, if there is one. An agent that lets 32 KiB pile up is deaf, and is replaced.
__attribute__((format(printf, 1, 2))) static void tell(const char *format, ...) {
    if (agent.fd < 0) return;
    va_list list;
    va_start(list, format);
    size_t room = OUT_BYTES - agent.out_bytes, n = (size_t)vsnprintf(agent.out + agent.out_bytes, room, format, list);
    va_end(list);
    if (n + 1 < room) agent.out[(agent.out_bytes += n + 1) - 1] = '\n';
    else kill(agent.pid, SIGKILL);
}

// ---- Processes, as /proc shows them ----

enum owner { NOBODY, OTHERS, AGENTS, OUTSIDE, ENGINES }; // NOBODY: dead, a zombie too. OUTSIDE: came by kubectl exec

static enum owner owner_of(pid_t pid, pid_t *session) {
    for (pid_t at = pid, parent;;) { // pid itself, then up its ancestors
        char path[32], text[512], state;
        int sid, threads;
        snprintf(path, sizeof path, "%d/stat", at);
        int fd = openat(dirfd(proc), path, O_RDONLY | O_CLOEXEC), n = fd < 0 ? -1 : (int)read(fd, text, sizeof text - 1);
        bool ended = n < 0 && (errno == ENOENT || errno == ESRCH);
        if (fd >= 0) close(fd);
        text[n > 0 ? n : 0] = '\0';
        char *rest = strrchr(text, ')'); // the name before it may hold anything
        static const char format[] = ") %c %d %*s %d %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %d";
        if (!rest || sscanf(rest, format, &state, &parent, &sid, &threads) != 4) {
            if (!ended) return self == 1 ? ENGINES : OTHERS; // what cannot be read is not known to be dead
            if (at == pid) return NOBODY;
            at = pid; // an ancestor ended meanwhile: there is a new one
            continue;
        }
        if (at == pid) *session = sid;
        if (at == pid && (state == 'Z' || state == 'X') && threads <= 1) return NOBODY; // else its other threads run on
        if (at == agent.pid) return AGENTS;
        if (parent == self) return ENGINES;
        if (parent == 0) return self == 1 ? OUTSIDE : OTHERS;
        at = parent;
    }
}

// Sends sig (0: none) to the living from that owner on (in one session, if given) and returns how many there are.
static int sweep(enum owner from, int sig, pid_t session) {
    int living = 0;
    rewinddir(proc);
    errno = 0;
    for (struct dirent *entry; (entry = readdir(proc)); errno = 0) {
        pid_t pid = atoi(entry->d_name), sid = 0;
        enum owner owner = pid > 0 && pid != self ? owner_of(pid, &sid) : NOBODY;
        if (owner < from || (session && session != sid)) continue;
        // The engine being stopped, a shell from outside is not waited for. What we may not kill (EPERM) we did not start.
        int failed = kill(pid, owner == OUTSIDE && engine.kill_at != NEVER ? SIGKILL : sig);
        living += !failed || errno != EPERM;
    }
    return living + (errno != 0);
}

static bool engine_lives(void) { // until GONE was told, too
    return engine.present || engine.kill_at != NEVER || sweep(OUTSIDE, 0, 0) > 0;
}

// ---- Starting processes ----

// Forks and executes words, after settings (KEY=VALUE), in a session of its own. agent_end is -1 for the engine.
static pid_t spawn(char **words, int64_t settings, int agent_end) {
    pid_t pid = fork();
    if (pid) return pid;
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL); // for the host; when PID 1 dies the kernel does more
    if (getppid() != self) _exit(126);
    if (agent_end >= 0) {
        if (dup2(agent_end, AGENT_FD) == agent_end) fcntl(AGENT_FD, F_SETFD, 0);
        // Its threads allocate little: an arena for each of them costs more than it gives. And what the start needed once, mostly to
        // read the program, goes back to the kernel. The agent hands this on to nobody.
        setenv("GLIBC_TUNABLES", "glibc.malloc.arena_max=1:glibc.malloc.trim_threshold=131072", 0);
    } else {
        char score[16] = "";
        int fd = open("/proc/self/oom_score_adj", O_RDWR | O_CLOEXEC);
        if (read(fd, score, sizeof score - 1) > 0) dprintf(fd, "%d", atoi(score) > 500 ? 1000 : atoi(score) + 500);
        unsetenv("QUORATE_INIT_FD");
        for (; settings > 0; settings--) putenv(*words++);
        // A dying PID 1 closes its files before the kernel kills the rest. With the engine holding the listener too,
        // "connection refused" means that no process of the engine runs any more.
        if (listener >= 0) fcntl(listener, F_SETFD, 0);
    }
    execvp(words[0], words);
    log_event("exec-failed", getpid(), "errno", errno);
    _exit(127);
}

static void start_agent(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair)) pair[0] = pair[1] = -1;
    // Another agent than the image's is loaded by the program. And Node may refuse a snapshot, or one fail where its program does not.
    bool quick = option.quick_agent && access(option.choice, F_OK) && !agent.unheard && agent.backoff <= 100 * MS;
    if (option.quick_agent && !quick) log_event("agent-without-snapshot", 0, "unheard", agent.unheard);
    pid_t pid = pair[0] < 0 ? -1 : spawn(quick ? option.quick_agent : option.agent, 0, pair[1]);
    log_event("agent-start", pid, "restarts", agent.restarts);
    close(pair[1]);
    agent.started_at = now;
    agent.restart_at = now + 1000 * MS; // should this start have failed
    if (pid < 0) return (void)close(pair[0]);
    agent.pid = pid;
    agent.fd = pair[0];
    agent.greeted = agent.skipping = false;
    agent.in_bytes = agent.out_bytes = 0;
}

// ---- The agent's lines ----

static bool parse_number(const char *text, int64_t *number) {
    size_t digits = text ? strspn(text, "0123456789") : 0;
    errno = 0;
    if (digits > 0 && !text[digits]) *number = strtoll(text, NULL, 10);
    return digits > 0 && !text[digits] && errno == 0;
}

// Decodes standard base64 in place; false when malformed or holding a NUL.
static bool decode(char *text) {
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
    size_t length = strlen(text), padding = length < 4 || text[length - 1] != '=' ? 0 : text[length - 2] == '=' ? 2 : 1;
    char *out = text;
    for (uint32_t i = 0, group = 0; i < length; i++) {
        const char *digit = strchr(alphabet, text[i]);
        if (!digit || (*digit == '=' && i < length - padding)) return false;
        group = group << 6 | ((digit - alphabet) & 63);
        for (int shift = 16; i % 4 == 3 && shift >= 0; shift -= 8) *out++ = (char)(group >> shift);
    }
    text[length / 4 * 3 - padding] = '\0';
    return length % 4 == 0 && strlen(text) == length / 4 * 3 - padding;
}

// What each verb's function returns: NULL (OK), ANSWERED, or what is wrong.
static const char ANSWERED[] = "";

// rest: id, number of settings, then settings (KEY=VALUE), program and arguments, each in base64.
static const char *start_engine(char *rest) {
    char *id = strsep(&rest, " "), *words[WORDS_MAX + 1];
    int64_t settings, count = 0;
    if (!id || !*id || strlen(id) > ID_BYTES || !strcmp(id, "-")) return "malformed id";
    if (!parse_number(strsep(&rest, " "), &settings)) return "malformed number of settings";
    while (rest && count < WORDS_MAX) {
        char *word = words[count++] = strsep(&rest, " ");
        if (!decode(word) || (count <= settings && strchr(word, '=') <= word)) return "malformed setting or argument";
    }
    words[count] = NULL;
    if (rest || count <= settings) return "too many arguments, or none";
    if (engine_lives()) return "an engine process lives";
    pid_t pid = spawn(words, settings, -1);
    if (pid < 0) return "cannot fork";
    engine.pid = pid;
    engine.present = true;
    engine.kill_at = NEVER;
    strcpy(engine.id, id);
    tell("STARTED %s %d", engine.id, pid);
    log_event("engine-start", pid, "armed", fence.deadline != 0);
    return ANSWERED;
}

static void set_deadline(ns_t deadline) {
    struct itimerspec timer = {.it_value = {deadline / (1000 * MS), deadline % (1000 * MS)}};
    timerfd_settime(fence.timer, TFD_TIMER_ABSTIME, &timer, NULL);
    fence.deadline = deadline;
}

static const char *extend_fence(ns_t deadline) {
    ns_t at = boottime();
    if (fence.deadline && at >= fence.deadline) return "the deadline has passed";
    if (deadline < fence.deadline) return "earlier than the current deadline";
    if (deadline <= at) return "in the past";
    if (deadline - at > FENCE_AHEAD_MAX) return "too far ahead";
    set_deadline(deadline);
    return NULL;
}

static void stop_engine(int sig, ns_t kill_at) {
    if (sig && engine.pid) kill(engine.pid, sig);
    engine.kill_at = kill_at;
    engine.look_at = 0;
}

static const struct { const char *name; int numbers; } verbs[] = { // numbers -1: takes text
    {"FENCE", 1}, {"NOW", 0}, {"HELLO", 0}, {"START", -1}, {"DISARM", 0}, {"SIGNAL", 1}, {"STOP", 2}, {"KILL", 0}};
enum verb { FENCE, NOW, HELLO, START, DISARM, SIGNAL, STOP, KILL, VERBS };

static const char *obey(enum verb verb, char *rest) {
    int64_t number[2];
    for (int i = 0; i < verbs[verb].numbers; i++)
        if (!parse_number(strsep(&rest, " "), &number[i])) return "malformed";
    if (rest && verbs[verb].numbers >= 0) return "malformed";
    if ((verb == SIGNAL || verb == STOP) && (number[0] < 1 || number[0] > SIGRTMAX)) return "no such signal";
    switch (verb) {
    case FENCE: return extend_fence(number[0]);
    case NOW: return tell("NOW %jd", (intmax_t)boottime()), ANSWERED;
    case HELLO:
        agent.greeted = true;
        tell("STATE engine=%s pid=%d id=%s armed=%d deadline=%jd now=%jd agentRestarts=%d fenced=%d",
             engine.pid ? "running" : engine_lives() ? "gone-partial" : "stopped", engine.pid, engine.id, fence.deadline != 0,
             (intmax_t)fence.deadline, (intmax_t)boottime(), agent.restarts, fence.count);
        if (terminating_at) tell("TERM");
        return ANSWERED;
    case START: return start_engine(rest);
    case DISARM:
        if (engine_lives()) return "an engine process lives";
        return set_deadline(0), NULL;
    case SIGNAL:
        return !engine.pid || kill(engine.pid, (int)number[0]) ? "no engine runs" : NULL;
    case STOP:
        if (number[1] > 86400000) return "grace too long";
        return stop_engine((int)number[0], boottime() + number[1] * MS), NULL;
    default: return stop_engine(0, 0), NULL; // KILL
    }
}

// Obeys every whole line read so far, as long as there is room for the answers.
static void obey_lines(void) {
    size_t start = 0;
    for (char *end; agent.out_bytes < OUT_BYTES / 2 && (end = memchr(agent.in + start, '\n', agent.in_bytes - start));) {
        char *rest = agent.in + start, *name = rest;
        size_t length = (size_t)(end - name), verb = agent.skipping || memchr(name, '\0', length) ? VERBS : 0;
        *end = '\0';
        start += length + 1;
        strsep(&rest, " ");
        while (verb < VERBS && strcmp(name, verbs[verb].name)) verb++;
        const char *answer = verb < VERBS ? obey((enum verb)verb, rest) : agent.skipping ? "line too long" : "unknown verb";
        if (!answer) tell("OK %s", name);
        else if (answer != ANSWERED) tell("ERR %s %s", verb < VERBS ? name : "?", answer);
        agent.skipping = false;
    }
    memmove(agent.in, agent.in + start, agent.in_bytes -= start);
    if (agent.in_bytes == LINE_BYTES && !memchr(agent.in, '\n', LINE_BYTES)) agent.skipping = true, agent.in_bytes = 0;
}

static void hang_up(void) {
    if (agent.fd >= 0) close(agent.fd);
    agent.fd = -1;
    agent.out_bytes = 0;
    agent.kill_at = now + 1000 * MS; // an agent that cannot be heard is replaced, but may be on its way out
}

static bool read_agent(void) {
    ssize_t n = recv(agent.fd, agent.in + agent.in_bytes, LINE_BYTES - agent.in_bytes, MSG_DONTWAIT);
    if (n > 0) agent.in_bytes += (size_t)n;
    else if (n == 0 || errno != EAGAIN) hang_up();
    return n > 0;
}

static void write_agent(void) {
    if (agent.fd < 0 || agent.out_bytes == 0) return;
    ssize_t n = send(agent.fd, agent.out, agent.out_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) memmove(agent.out, agent.out + n, agent.out_bytes -= (size_t)n);
    else if (errno != EAGAIN) hang_up();
    if (n > 0 && agent.in_bytes) wake_by(now); // lines may have waited for this room
}

// ---- What ended, and what is due: each drive_ function acts if it is time, and says when it wants to be asked again ----

static void agent_ended(bool well) {
    do { // its last words count, unless it is being fenced
        if (!fence.firing) obey_lines();
        agent.out_bytes = 0;
    } while (!fence.firing && agent.fd >= 0 && read_agent());
    hang_up();
    sweep(AGENTS, SIGKILL, agent.pid);
    if (agent.greeted) agent.lost_at = now;
    if (now - agent.started_at >= AGENT_SETTLED) agent.backoff = 0;
    agent.restart_at = now + agent.backoff;
    agent.backoff = agent.backoff == 0 ? 100 * MS : agent.backoff >= 500 * MS ? 1000 * MS : agent.backoff * 2;
    agent.unheard = !agent.greeted;
    agent.greeted = false;
    agent.exited_well = well;
    agent.restarts++;
    agent.pid = 0;
}

static void reap(void) {
    pid_t pid;
    for (int status, i = 0; (pid = waitpid(-1, &status, WNOHANG | __WALL)) > 0; i++) {
        const char *how = WIFEXITED(status) ? "code" : "signal";
        int value = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
        engine.look_at = 0;
        if (pid == agent.pid) {
            log_event("agent-exit", pid, how, value);
            agent_ended(status == 0);
        } else if (pid == engine.pid) {
            log_event("engine-exit", pid, how, value);
            tell("EXITED %s %s=%d", engine.id, how, value);
            engine.pid = 0;
        }
        if (i == 256) return wake_by(now); // a storm of deaths must not keep us from the deadline
    }
}

static void finish(int code) {
    for (; sweep(AGENTS, SIGKILL, 0) > 0; reap()) usleep(2000);
    log_event("exit", self, "code", code);
    exit(code);
}

static void engine_is_gone(void) {
    log_event("engine-gone", 0, "fenced", fence.firing);
    tell("GONE %s", engine.id);
    strcpy(engine.id, "-");
    engine.present = false;
    engine.kill_at = NEVER;
}

static void drive_fence(void) {
    if (fence.deadline && !fence.firing && now >= fence.deadline) {
        fence.firing = true;
        log_event("fence", engine.pid, "lateNs", now - fence.deadline);
    }
    if (!fence.firing) return;
    if (self == 1) kill(-1, SIGKILL); // everyone but us in one step: nobody forks in between
    if (sweep(AGENTS, SIGKILL, 0) > 0 || agent.pid || engine.pid) return wake_by(now + 10 * MS); // also in uninterruptible sleep
    log_event("fenced", 0, "lateNs", boottime() - fence.deadline);
    engine_is_gone();
    fence.firing = false;
    fence.count++;
    set_deadline(0);
    if (terminating_at) finish(128 + SIGTERM);
    agent.restart_at = now;
}

static void drive_engine(void) {
    bool asked = engine.kill_at != NEVER, killing = now >= engine.kill_at;
    if (!killing) wake_by(engine.kill_at);
    if (!(asked || engine.present) || (engine.pid && !killing)) return;
    if (now >= engine.look_at) {
        int sig = killing ? SIGKILL : 0;
        if (killing && engine.pid) kill(-engine.pid, SIGKILL); // its whole group in one step
        // Twice: a pid that wraps around may escape one look, not two.
        if (sweep(OUTSIDE, sig, 0) == 0 && sweep(OUTSIDE, sig, 0) == 0 && !engine.pid) return engine_is_gone();
        engine.look_at = now + (asked ? 20 : 250) * MS; // sooner at a SIGCHLD, which those from outside do not send us
    }
    wake_by(engine.look_at);
}

static void drive_agent(void) {
    if (agent.pid && agent.fd < 0 && now >= agent.kill_at) kill(agent.pid, SIGKILL);
    else if (agent.pid && agent.fd < 0) wake_by(agent.kill_at);
    if (!agent.pid && terminating_at && agent.exited_well && !engine.present) finish(0);
    if (!agent.pid && now >= agent.restart_at) start_agent();
    if (!agent.pid) wake_by(agent.restart_at);
    if (!terminating_at || agent.greeted) return;
    ns_t lost_until = (agent.lost_at > terminating_at ? agent.lost_at : terminating_at) + AGENT_LOST;
    if (now < lost_until) return wake_by(lost_until);
    if (!engine.present) finish(128 + SIGTERM);
    if (engine.kill_at != NEVER) return;
    log_event("stop-without-agent", engine.pid, "signal", option.stop_signal);
    stop_engine((int)option.stop_signal, terminating_at + option.grace_ms * MS);
    wake_by(now);
}

// ---- Starting and the loop ----

static void fail(const char *what) {
    dprintf(STDERR_FILENO, "quorate-init: %s\n", what);
    exit(2);
}

static int listen_on(int64_t port, bool ipv6) {
    struct sockaddr_in6 any6 = {.sin6_family = AF_INET6, .sin6_port = htons((uint16_t)port)};
    struct sockaddr_in any4 = {.sin_family = AF_INET, .sin_port = any6.sin6_port};
    int fd = socket(ipv6 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){0}, sizeof(int));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){1}, sizeof(int));
    const struct sockaddr *address = ipv6 ? (struct sockaddr *)&any6 : (struct sockaddr *)&any4;
    if (bind(fd, address, ipv6 ? sizeof any6 : sizeof any4) == 0 && listen(fd, 128) == 0) return fd;
    close(fd);
    if (!ipv6) fail("cannot listen on the port");
    return listen_on(port, false); // the node has no IPv6
}

// The agent's command with the snapshot of its program, NAME.blob beside NAME.mjs; NULL where there is none.
static char **with_snapshot(char **words) {
    static char *quick[WORDS_MAX + 2], blob[4096];
    int count = 0, found = 0;
    for (; words[count] && count < WORDS_MAX; count++) {
        char *end = strrchr(words[count], '.');
        if (!found && end && !strcmp(end, ".mjs")) {
            int n = snprintf(blob, sizeof blob, "--snapshot-blob=%.*s.blob", (int)(end - words[count]), words[count]);
            if (n >= (int)sizeof blob || access(strchr(blob, '=') + 1, R_OK)) return NULL;
            quick[count] = blob;
            found = 1;
        }
        quick[count + found] = words[count];
    }
    return found && !words[count] ? quick : NULL;
}

static void set_up(int argc, char **argv) {
    int i = 1;
    for (; i + 1 < argc && strcmp(argv[i], "--"); i += 2) {
        int64_t *number = !strcmp(argv[i], "--port") ? &option.port : !strcmp(argv[i], "--grace-ms") ? &option.grace_ms : NULL;
        if (!strcmp(argv[i], "--stop-signal")) number = &option.stop_signal;
        if (!number || !parse_number(argv[i + 1], number)) break;
    }
    if (i + 1 >= argc || strcmp(argv[i], "--"))
        fail("usage: quorate-init [--port N] [--grace-ms N] [--stop-signal N] -- agent [argument...]");
    option.agent = argv + i + 1;
    const char *run = getenv("QUORATE_RUN_DIR");
    if (snprintf(option.choice, sizeof option.choice, "%s/quorate-agent/choice.json", run ? run : "/run") < (int)sizeof option.choice)
        option.quick_agent = with_snapshot(option.agent);
    self = getpid();
    sigset_t all, wanted;
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, NULL);
    sigemptyset(&wanted);
    static const int numbers[] = {SIGCHLD, SIGTERM, SIGINT, SIGQUIT, SIGUSR1}; // images choose their STOPSIGNAL
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++) sigaddset(&wanted, numbers[k]);
    signals = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    fence.timer = timerfd_create(CLOCK_BOOTTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    proc = opendir("/proc");
    if (signals < 0 || fence.timer < 0 || !proc || (self != 1 && prctl(PR_SET_CHILD_SUBREAPER, 1)))
        fail("signalfd, timerfd, /proc and a subreaper are needed");
    if (option.port >= 0) listener = listen_on(option.port, true);
    int own = open("/proc/self/fd/2", O_WRONLY | O_APPEND | O_NONBLOCK | O_CLOEXEC); // O_NONBLOCK for us alone
    if (own >= 0) log_fd = own;
    mlockall(MCL_CURRENT | MCL_FUTURE); // best effort: no page fault between deadline and kill
    setenv("QUORATE_INIT_FD", "3", 1);
    struct sockaddr_in6 bound = {0};
    getsockname(listener, (struct sockaddr *)&bound, &(socklen_t){sizeof bound});
    log_event("start", self, "port", ntohs(bound.sin6_port));
}

static void read_signals(void) {
    for (struct signalfd_siginfo info; read(signals, &info, sizeof info) > 0;) {
        if (info.ssi_signo == SIGCHLD) continue;
        log_event("term", self, "signal", info.ssi_signo);
        if (!terminating_at) terminating_at = now;
        tell("TERM");
    }
}

int main(int argc, char **argv) {
    set_up(argc, argv);
    for (;;) {
        now = boottime();
        wake_at = NEVER;
        reap();
        drive_fence(); // before anything the agent says: no line may pass a deadline that is over
        if (!fence.firing) {
            obey_lines();
            drive_engine();
            drive_agent();
            write_agent();
        }
        bool room = agent.out_bytes < OUT_BYTES / 2 && agent.in_bytes < LINE_BYTES;
        short events = (short)((room ? POLLIN : 0) | (agent.out_bytes ? POLLOUT : 0));
        struct pollfd polled[] = {{signals, POLLIN, 0}, {fence.timer, POLLIN, 0}, {listener, POLLIN, 0},
                                  {fence.firing ? -1 : agent.fd, events, 0}};
        ns_t wait_ms = wake_at <= now ? 0 : (wake_at - now - 1) / MS + 1;
        poll(polled, 4, wait_ms > 60000 ? 60000 : (int)wait_ms);
        if (polled[0].revents) read_signals();
        if (polled[1].revents) (void)!read(fence.timer, &(uint64_t){0}, sizeof(uint64_t));
        if (polled[2].revents) close(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
        if (polled[3].revents && room) read_agent();
    }
}
