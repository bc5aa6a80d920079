#include "channels/mail/board.h"

#include <errno.h>
#include <fcntl.h>
#include <glib.h>
#include <limits.h>
#include <linux/futex.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LINE       64          /* of the cache: sessions do not share one */
#define MAIL_KEEPS (64 * 1024) /* a place that held more gives its pages back */

enum place_state { FREE, PUT, TAKEN, DONE };

struct place {
    _Atomic uint32_t state;
    uint32_t len, from_len, to_len, committed;
    int32_t kind, code, crowded;
    char detail[256];
    _Alignas(LINE) char bytes[]; /* from NUL to NUL mail */
};

struct seat {                             /* of a session */
    _Alignas(LINE) _Atomic uint32_t bell; /* grows with each change by the provider: the session sleeps on it */
    _Atomic uint32_t sleeps;
    _Atomic uint64_t answer;    /* the mail's number, and in the lowest bit go */
    _Atomic uint64_t forbidden; /* number of the mail whose dot must not be sent */
    _Alignas(LINE) _Atomic uint64_t asked, dotted;
    _Atomic uint32_t stage;
};

struct head {
    _Atomic uint32_t rung; /* the provider has been woken and has not looked yet */
};

struct board {
    int fd, sessions, bell;
    size_t size;
    char *memory;
};

/* ---------------------------------------------------------------- where things are */

static size_t place_size(void)
{
    return sizeof(struct place) + BOARD_MAIL_MOST;
}

static size_t seats_at(void)
{
    return LINE;
}

static size_t places_at(int sessions)
{
    size_t page = 4096;
    return (seats_at() + (size_t)sessions * sizeof(struct seat) + page - 1) / page * page;
}

static size_t size_for(int sessions)
{
    return places_at(sessions) + (size_t)sessions * BOARD_PLACES * place_size();
}

static struct head *head_of(const struct board *b)
{
    return (struct head *)b->memory;
}

static struct seat *seat_of(const struct board *b, int session)
{
    return (struct seat *)(b->memory + seats_at()) + session;
}

static struct place *place_of(const struct board *b, int session, uint64_t number)
{
    size_t index = (size_t)session * BOARD_PLACES + number % BOARD_PLACES;
    return (struct place *)(b->memory + places_at(b->sessions) + index * place_size());
}

/* ---------------------------------------------------------------- opening */

static struct board *board_map(int fd, int sessions, int bell)
{
    struct board *b = g_new0(struct board, 1);

    *b = (struct board){ .fd = fd, .sessions = sessions, .bell = bell };
    b->size = size_for(sessions);
    b->memory = mmap(NULL, b->size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    if (b->memory != MAP_FAILED)
        return b;
    g_free(b);
    return NULL;
}

struct board *board_new(int sessions, int bell)
{
    int fd = memfd_create("tidings-mail", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    bool ready = fd >= 0 && ftruncate(fd, (off_t)size_for(sessions)) == 0 &&
                 fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
    struct board *b = ready ? board_map(fd, sessions, bell) : NULL;

    if (!b && fd >= 0)
        close(fd);
    return b;
}

struct board *board_open(int fd, int sessions, int bell)
{
    return board_map(fd, sessions, bell);
}

int board_fd(const struct board *b)
{
    return b->fd;
}

void board_close(struct board *b)
{
    if (!b)
        return;
    munmap(b->memory, b->size);
    close(b->fd);
    g_free(b);
}

/* ---------------------------------------------------------------- the provider's end */

static void change(struct board *b, int session)
{
    atomic_fetch_add(&seat_of(b, session)->bell, 1);
}

bool board_put(struct board *b, int session, uint64_t number, const struct parcel *p)
{
    struct place *at = place_of(b, session, number);
    size_t from = strlen(p->from) + 1, to = strlen(p->to) + 1;

    if (atomic_load(&at->state) != FREE)
        return false;
    at->from_len = (uint32_t)from; /* not read here: the agent can write it */
    at->to_len = (uint32_t)to;
    at->len = (uint32_t)p->len;
    at->committed = p->committed;
    memcpy(at->bytes, p->from, from);
    memcpy(at->bytes + from, p->to, to);
    memcpy(at->bytes + from + to, p->bytes, p->len);
    at->bytes[from + to + p->len] = '\0';
    atomic_store(&at->state, PUT);
    change(b, session);
    return true;
}

bool board_retract(struct board *b, int session, uint64_t number)
{
    uint32_t put = PUT;
    uint64_t forbidden = number; /* the number will be another mail's */

    if (!atomic_compare_exchange_strong(&place_of(b, session, number)->state, &put, FREE))
        return false;
    atomic_compare_exchange_strong(&seat_of(b, session)->forbidden, &forbidden, 0);
    return true;
}

void board_answer(struct board *b, int session, uint64_t number, bool go)
{
    atomic_store(&seat_of(b, session)->answer, number << 1 | go);
    change(b, session);
}

void board_wake(struct board *b, int session)
{
    struct seat *s = seat_of(b, session);

    if (atomic_load(&s->sleeps))
        syscall(SYS_futex, &s->bell, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

void board_listen(struct board *b)
{
    atomic_store(&head_of(b)->rung, 0);
}

enum smtp_stage board_stage(const struct board *b, int session)
{
    return (enum smtp_stage)MIN(atomic_load(&seat_of(b, session)->stage), (uint32_t)STAGE_MAIL);
}

uint64_t board_asked(const struct board *b, int session)
{
    return atomic_load(&seat_of(b, session)->asked);
}

/* A large mail leaves its pages. */
static void clean(struct board *b, const struct place *at)
{
    off_t begin = (const char *)at - b->memory, keep = (begin + MAIL_KEEPS + 4095) / 4096 * 4096;

    if (at->len > MAIL_KEEPS)
        fallocate(b->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, keep, begin + (off_t)place_size() - keep);
}

/* An agent reads what strangers write, so what it says is looked at. */
enum board_news board_result(struct board *b, int session, uint64_t number, struct outcome *o)
{
    struct place *at = place_of(b, session, number);
    uint32_t state = atomic_load(&at->state);

    if (state > DONE)
        return BOARD_NONSENSE;
    if (state != DONE)
        return BOARD_NOTHING;
    *o = (struct outcome){ .kind = (enum outcome_kind)at->kind, .code = at->code, .crowded = at->crowded != 0 };
    memcpy(o->detail, at->detail, sizeof o->detail);
    o->detail[sizeof o->detail - 1] = '\0';
    if ((int)o->kind < OUTCOME_SENT || o->kind > OUTCOME_UNABLE)
        return BOARD_NONSENSE;
    clean(b, at);
    atomic_store(&at->state, FREE);
    return BOARD_RESULT;
}

/* Each side says its own word first and then looks at the other's: one of them sees both. */
bool board_forbid(struct board *b, int session, uint64_t number)
{
    struct seat *s = seat_of(b, session);

    atomic_store(&s->forbidden, number);
    return atomic_load(&s->dotted) != number;
}

bool board_dotted(const struct board *b, int session, uint64_t number)
{
    return atomic_load(&seat_of(b, session)->dotted) == number;
}

/* ---------------------------------------------------------------- a session's end */

static void ring(struct board *b)
{
    if (!atomic_exchange(&head_of(b)->rung, 1) && write(b->bell, &(uint64_t){ 1 }, sizeof(uint64_t)) < 0)
        atomic_store(&head_of(b)->rung, 0);
}

/* Sleeps until the provider has changed something since `seen`.  False when the time is over. */
static bool sleep_on(struct seat *s, uint32_t seen, int64_t until_us)
{
    int64_t left = until_us - g_get_monotonic_time();
    struct timespec wait = { left / 1000000, left % 1000000 * 1000 };

    if (until_us && left <= 0)
        return false;
    atomic_store(&s->sleeps, 1);
    syscall(SYS_futex, &s->bell, FUTEX_WAIT, seen, until_us ? &wait : NULL, NULL, 0);
    atomic_store(&s->sleeps, 0);
    return true;
}

bool board_take(struct board *b, int session, uint64_t number, int ms, struct board_mail *mail)
{
    struct seat *s = seat_of(b, session);
    struct place *at = place_of(b, session, number);
    int64_t until = ms < 0 ? 0 : g_get_monotonic_time() + (int64_t)ms * 1000;
    uint32_t seen = atomic_load(&s->bell), put = PUT;

    while (!atomic_compare_exchange_strong(&at->state, &put, TAKEN)) {
        if (!sleep_on(s, seen, until))
            return false;
        seen = atomic_load(&s->bell);
        put = PUT;
    }
    *mail = (struct board_mail){ at->bytes, at->bytes + at->from_len, at->bytes + at->from_len + at->to_len, at->len,
                                 at->committed != 0 };
    return true;
}

static bool wait_for_answer(struct board *b, struct seat *s, uint64_t number)
{
    uint32_t seen = atomic_load(&s->bell);
    uint64_t answer;

    atomic_store(&s->asked, number);
    ring(b);
    while ((answer = atomic_load(&s->answer)) >> 1 != number) {
        sleep_on(s, seen, 0);
        seen = atomic_load(&s->bell);
    }
    return answer & 1;
}

bool board_ask(struct board *b, int session, uint64_t number, bool committed)
{
    struct seat *s = seat_of(b, session);

    if (!committed && !wait_for_answer(b, s, number))
        return false;
    atomic_store(&s->dotted, number);
    return atomic_load(&s->forbidden) != number;
}

void board_set_stage(struct board *b, int session, enum smtp_stage stage)
{
    if (atomic_exchange(&seat_of(b, session)->stage, stage) != (uint32_t)stage)
        ring(b);
}

void board_tell(struct board *b, int session, uint64_t number, const struct outcome *o)
{
    struct place *at = place_of(b, session, number);

    at->kind = o->kind;
    at->code = o->code;
    at->crowded = o->crowded;
    g_strlcpy(at->detail, o->detail, sizeof at->detail);
    atomic_store(&at->state, DONE);
    ring(b);
}
