/*
 * The log: one JSON object a line on standard error, or a line of text for people.
 *
 * An event has a name of dotted words and fields given as a jansson pack format:
 *
 *     log_info("provider.paused", "{s:s, s:I}", "provider", name, "ms", ms);
 *
 * No address, token or message body at the default level, ever.  A line that
 * cannot be written is counted and dropped; the service goes on.
 */
#ifndef DISPATCHER_BASE_LOG_H
#define DISPATCHER_BASE_LOG_H

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

/* log_setup: format "json" or "text", level "debug", "info", "warning" or "error". NULL when content, else a sentence.
 */
const char *log_setup(const char *format, const char *level);

/* log_event: fields may be NULL.  Use the macros. */
void log_event(enum log_level, const char *event, const char *fields, ...);

#define log_debug(event, ...) log_event(LOG_DEBUG, event, __VA_ARGS__)
#define log_info(event, ...)  log_event(LOG_INFO, event, __VA_ARGS__)
#define log_warn(event, ...)  log_event(LOG_WARNING, event, __VA_ARGS__)
#define log_error(event, ...) log_event(LOG_ERROR, event, __VA_ARGS__)

#endif
