#include "channels/mail/wire.h"

#include <errno.h>
#include <glib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "channels/channel.h"

/* ---------------------------------------------------------------- the agent's end */

static bool read_all(int fd, void *to, size_t len)
{
    for (char *p = to; len;) {
        ssize_t n = read(fd, p, len);
        if (n <= 0 && !(n < 0 && errno == EINTR))
            return false;
        if (n > 0)
            p += n, len -= (size_t)n;
    }
    return true;
}

void wire_put(int fd, enum smtp_frame type, const void *bytes, size_t len)
{
    struct smtp_head head = { type, (uint32_t)len };
    struct iovec iov[] = { { &head, sizeof head }, { (void *)bytes, len } };

    if (writev(fd, iov, 2) != (ssize_t)(sizeof head + len))
        _exit(0);
}

char *wire_get(int fd, struct smtp_head *head)
{
    char *bytes;

    if (!read_all(fd, head, sizeof *head))
        _exit(0);
    bytes = g_malloc((size_t)head->len + 1);
    if (!read_all(fd, bytes, head->len))
        _exit(0);
    bytes[head->len] = '\0';
    return bytes;
}

/* ---------------------------------------------------------------- the provider's end */

static size_t size_of(uint32_t type)
{
    return type == FRAME_STAGE ? sizeof(uint32_t) : type == FRAME_RESULT ? sizeof(struct smtp_result) : 0;
}

/* An agent reads what strangers write, so what it says is looked at. */
static bool is_sound(struct wire_said *said, const char *bytes)
{
    uint32_t stage = 0;

    if (said->type == FRAME_STAGE) {
        memcpy(&stage, bytes, sizeof stage);
        said->stage = (enum smtp_stage)stage;
        return stage <= STAGE_MAIL;
    }
    if (said->type == FRAME_RESULT) {
        memcpy(&said->result, bytes, sizeof said->result);
        said->result.detail[sizeof said->result.detail - 1] = '\0';
        return said->result.kind >= OUTCOME_SENT && said->result.kind <= OUTCOME_UNABLE;
    }
    return said->type == FRAME_ASK;
}

ssize_t wire_read(struct wire_said *said, const void *bytes, size_t len)
{
    struct smtp_head head;

    if (len < sizeof head)
        return 0;
    memcpy(&head, bytes, sizeof head);
    said->type = (enum smtp_frame)head.type;
    if (head.len != size_of(head.type))
        return -1;
    if (len < sizeof head + head.len)
        return 0;
    return is_sound(said, (const char *)bytes + sizeof head) ? (ssize_t)(sizeof head + head.len) : -1;
}
