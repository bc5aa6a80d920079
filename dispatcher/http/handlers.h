/*
 * The handlers that routes.c names, by file.
 *
 * A page for customers is a file in templates/_pages with its texts in every
 * locale there, a handler here and in pages.c, a route, a purpose of its token
 * (base/token.h), a link in content/render.c with a sample of it in
 * templates/sample.c, and its variables in templates/check.c.
 */
#ifndef DISPATCHER_HTTP_HANDLERS_H
#define DISPATCHER_HTTP_HANDLERS_H

#include "dispatcher/http/http.h"

/* messages.c */
handler_fn post_messages, get_messages, get_message, delete_message;
/* events.c */
handler_fn post_events, post_enroll, delete_runs, get_sequences, post_pause, post_resume, post_stop, post_migrate,
    get_waves, post_wave_open, post_wave_hold, post_merge, post_exit, get_sequence_report;
/* people.c */
handler_fn put_recipient, patch_recipient, get_recipient, delete_recipient, get_timeline, post_consent, post_consents,
    get_consents, put_suppression, get_suppression, delete_suppression, get_suppressions, post_inbox_token, get_choices,
    patch_choices;
/* reach.c */
handler_fn get_next_window;
/* inbox.c */
handler_fn get_inbox, get_inbox_count, post_inbox_read, post_inbox_unread, post_inbox_seen, post_inbox_archive,
    post_inbox_unarchive, post_inbox_snooze, post_inbox_ticket, post_inbox_answer;
/* streams.c */
handler_fn get_inbox_stream;
/* faces.c */
handler_fn get_component, get_component_of, get_demo, get_demo_script, get_demo_style;
/* stops.c */
handler_fn get_stops, post_stops, delete_stop, post_cancellations;
/* ops.c */
handler_fn get_healthz, get_readyz, get_metrics, get_queue, get_openapi;
/* pages.c */
handler_fn get_unsubscribe, post_unsubscribe, get_confirm, post_confirm;
/* preference_page.c */
handler_fn get_preferences, post_preferences;

#endif
