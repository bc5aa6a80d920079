/*
 * The configuration: a YAML file, checked against settings.h, with relative
 * paths read from the folder of the file.
 */
#ifndef DISPATCHER_CONFIG_CONFIG_H
#define DISPATCHER_CONFIG_CONFIG_H

#include <glib.h>
#include <jansson.h>

struct config {
    char *file;        /* as named in complaints; "(built-in)" without one */
    char *dir;         /* relative paths start here */
    json_t *root;      /* checked; read with setting_*() */
    GHashTable *lines; /* path → line */
};

/* config_load: `file`, else $TIDINGS_CONFIG, else ./tidings.yaml, else built-in defaults.
 * NULL with *why = "FILE:LINE: what" (to be freed). */
struct config *config_load(const char *file, char **why);
void config_free(struct config *);

/* config_path: the value of a SET_PATH, absolute or below config->dir; NULL when missing.  g_free. */
char *config_path(const struct config *, const json_t *at, const char *setting);

/* config_complaint: "FILE:LINE: path what", for checks above this room.  g_free. */
char *config_complaint(const struct config *, const char *path, const char *what);

/* config_public_url: begins every link, without a slash at the end.  g_free. */
char *config_public_url(const struct config *);

#endif
