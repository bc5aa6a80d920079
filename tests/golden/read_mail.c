/*
 * What GMime reads from a mail on standard input, as JSON: the second opinion
 * beside Python's email module (tests/golden/run).
 */
#include <gmime/gmime.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static GByteArray *content_of(GMimePart *part)
{
    GMimeStream *stream = g_mime_stream_mem_new();

    g_mime_data_wrapper_write_to_stream(g_mime_part_get_content(part), stream);
    GByteArray *bytes = g_byte_array_new();
    GByteArray *held = g_mime_stream_mem_get_byte_array(GMIME_STREAM_MEM(stream));
    g_byte_array_append(bytes, held->data, held->len);
    g_object_unref(stream);
    return bytes;
}

static void take_file(json_t *out, GMimePart *part)
{
    GByteArray *bytes = content_of(part);
    g_autofree char *hash = g_compute_checksum_for_data(G_CHECKSUM_SHA256, bytes->data, bytes->len);

    json_array_append_new(json_object_get(out, "files"),
                          json_pack("{s:s, s:o, s:s}", "filename", g_mime_part_get_filename(part), "cid",
                                    text_or_null(g_mime_part_get_content_id(part)), "sha256", hash));
    g_byte_array_free(bytes, TRUE);
}

static void take_text(json_t *out, const char *type, GMimeObject *object)
{
    GByteArray *bytes = content_of(GMIME_PART(object));
    g_autofree char *text = g_strndup((char *)bytes->data, bytes->len);
    g_auto(GStrv) lines = g_strsplit(text, "\r\n", -1);
    g_autofree char *plain = g_strjoinv("\n", lines);

    json_object_set_new(out, type, json_string(plain));
    if (strcmp(type, "text/plain") == 0)
        json_object_set_new(out, "language", text_or_null(g_mime_object_get_header(object, "Content-Language")));
    g_byte_array_free(bytes, TRUE);
}

static void on_part(GMimeObject *parent, GMimeObject *object, gpointer arg)
{
    json_t *out = arg;
    g_autofree char *type = g_mime_content_type_get_mime_type(g_mime_object_get_content_type(object));

    json_array_append_new(json_object_get(out, "parts"), json_string(type));
    if (GMIME_IS_PART(object) && g_mime_part_get_filename(GMIME_PART(object)))
        take_file(out, GMIME_PART(object));
    else if (GMIME_IS_PART(object))
        take_text(out, type, object);
}

int main(void)
{
    g_mime_init();
    GMimeStream *stream = g_mime_stream_pipe_new(0);
    GMimeParser *parser = g_mime_parser_new_with_stream(stream);
    GMimeMessage *mail = g_mime_parser_construct_message(parser, NULL);

    if (!mail)
        return 1;
    json_t *out =
        json_pack("{s:s, s:o, s:o, s:o, s:o, s:[], s:[]}", "subject", g_mime_message_get_subject(mail), "from",
                  json_string(internet_address_list_to_string(g_mime_message_get_from(mail), NULL, FALSE)), "to",
                  json_string(internet_address_list_to_string(g_mime_message_get_to(mail), NULL, FALSE)), "in_reply_to",
                  text_or_null(g_mime_object_get_header(GMIME_OBJECT(mail), "In-Reply-To")), "feedback_id",
                  text_or_null(g_mime_object_get_header(GMIME_OBJECT(mail), "Feedback-ID")), "parts", "files");
    GMimeObject *root = g_mime_message_get_mime_part(mail);
    on_part(NULL, root, out);
    if (GMIME_IS_MULTIPART(root))
        g_mime_multipart_foreach(GMIME_MULTIPART(root), on_part, out);
    json_dumpf(out, stdout, 0);
    return 0;
}
