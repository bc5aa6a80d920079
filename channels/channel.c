#include "channels/channel.h"

const char *outcome_name(enum outcome_kind kind)
{
    static const char *const names[] = { "sent",    "deferred", "fault",    "refused",
                                         "unknown", "stopped",  "returned", "unable" };
    return names[kind];
}
