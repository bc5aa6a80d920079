#include "channels/mail/tls.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

static _Thread_local struct mail_tls *current; /* OpenSSL says only which SSL it is, and libesmtp makes that */

static void on_handshake(const SSL *ssl, int where, int ret)
{
    struct mail_tls *t = current;

    if (where & SSL_CB_EXIT && ret <= 0 && t->mode != EMAIL_TLS_OPPORTUNISTIC)
        t->verify = SSL_get_verify_result(ssl);
    if (!(where & SSL_CB_HANDSHAKE_START))
        return;
    t->ssl = ssl;
    if (t->mode != EMAIL_TLS_IMPLICIT) /* there the relay does it */
        SSL_set_tlsext_host_name((SSL *)ssl, t->host);
}

bool tls_open(struct mail_tls *t, enum email_tls mode, const char *host, const char *ca_file)
{
    *t = (struct mail_tls){ .mode = mode, .host = host, .verify = X509_V_OK };
    t->ctx = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(t->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(t->ctx, SSL_MODE_AUTO_RETRY);
    SSL_CTX_clear_mode(t->ctx, SSL_MODE_ENABLE_PARTIAL_WRITE);
    SSL_CTX_set_info_callback(t->ctx, on_handshake);
    if (mode == EMAIL_TLS_OPPORTUNISTIC) {
        SSL_CTX_set_verify(t->ctx, SSL_VERIFY_NONE, NULL);
        return true;
    }
    if (ca_file ? !SSL_CTX_load_verify_locations(t->ctx, ca_file, NULL) : !SSL_CTX_set_default_verify_paths(t->ctx))
        return false;
    X509_VERIFY_PARAM *param = SSL_CTX_get0_param(t->ctx);
    t->by_address = X509_VERIFY_PARAM_set1_ip_asc(param, host);
    if (!t->by_address)
        X509_VERIFY_PARAM_set1_host(param, host, 0);
    ERR_clear_error();
    SSL_CTX_set_verify(t->ctx, SSL_VERIFY_PEER, NULL);
    return true;
}

void tls_begin(struct mail_tls *t)
{
    t->ssl = NULL;
    t->verify = X509_V_OK;
    current = t;
}

bool tls_peer_is_right(const struct mail_tls *t)
{
    return t->mode == EMAIL_TLS_OPPORTUNISTIC || (t->ssl && SSL_get_verify_result(t->ssl) == X509_V_OK &&
                                                  (t->by_address || SSL_get0_peername((SSL *)t->ssl)));
}
