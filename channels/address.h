/*
 * Addresses, checked and brought to one form before anything else sees them.
 *
 * Mail: RFC 5321 mailbox, local part kept, domain in lower case and as A-labels
 * (UTS 46, non-transitional).  A local part that is not ASCII needs SMTPUTF8,
 * which the mail library cannot do, and is refused.  Phone: E.164 with "+".
 */
#ifndef CHANNELS_ADDRESS_H
#define CHANNELS_ADDRESS_H

#define ADDRESS_SIZE 320

/* address_email: NULL when content and out filled, else a sentence. */
const char *address_email(char out[static ADDRESS_SIZE], const char *text);

/* address_phone: spaces, dots, dashes and brackets are taken out; digits of any script become ASCII. */
const char *address_phone(char out[static ADDRESS_SIZE], const char *text);

/* address_key: the one form under which an address is suppressed: mail in lower case whole, phones as E.164.
 * Takes either; NULL when content, else a sentence. */
const char *address_key(char out[static ADDRESS_SIZE], const char *text);

#endif
