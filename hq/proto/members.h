/* members: what the messages' codecs share, inside hq/proto: the frame of a parser, and the kinds of members that occur
 * in more than one message. Packers return a new reference, NULL when out of memory; readers follow struct np_json_in's
 * sticky error. */
#ifndef HQ_PROTO_MEMBERS_H
#define HQ_PROTO_MEMBERS_H

#include "hq/proto/json.h"

#define NP_MESSAGE_SECONDS_MAX (INT64_C(1) << 40) /* beyond any date or interval that means something */
#define NP_MESSAGE_SEQ_MAX     (INT64_C(1) << 53) /* JSON numbers stay exact in every JSON library (RFC 8259 section 6) */

/* Reads the members of one kind of message into out. */
typedef void np_message_members_fn(struct np_json_in *in, void *out);

/* The frame that all np_*_parse share: runs members over the object in json. Errors as in hq/proto/message.h. */
int np_message_parse(const char *json, size_t len, struct np_message_error *error, np_message_members_fn *members,
                     void *out);

/* An array of addresses as texts. */
json_t *np_message_pack_list(const struct np_addr *list, size_t count);

/* The members v4 and v6 of the object being read. */
void np_message_addresses(struct np_json_in *in, struct np_addresses *out);

/* An object with v4 and v6. */
json_t *np_message_pack_addresses(const struct np_addresses *addresses);

/* A member that is an object with v4 and v6. */
void np_message_nested_addresses(struct np_json_in *in, const char *member, struct np_addresses *out);

/* An object with type and what belongs to it. */
json_t *np_message_pack_credential(const struct np_credential *credential);

/* The member credential. A type that is not known is NP_E_UNKNOWN. */
void np_message_credential(struct np_json_in *in, struct np_credential *out);

/* The optional member life of the object being read. */
void np_message_life(struct np_json_in *in, struct np_life *out);

/* Adds life to object, where it is told. 0 or -1 (out of memory). */
int np_message_pack_life(json_t *object, const struct np_life *life);

/* An array of names. */
json_t *np_message_pack_names(char names[][NP_NAME_MAX + 1], size_t count);

/* A member that is an array of at most max host names or wildcards. */
void np_message_names(struct np_json_in *in, const char *member, char names[][NP_NAME_MAX + 1], size_t max,
                      size_t *out_count);

/* The members name, san, wanted and old, as struct np_names has them. */
void np_message_name_members(struct np_json_in *in, struct np_names *out);

/* Adds them to object. 0 or -1 (out of memory). */
int np_message_pack_name_members(json_t *object, const struct np_names *names);

/* A member that is a host name. */
void np_message_hostname(struct np_json_in *in, const char *member, char out[NP_NAME_MAX + 1]);

/* A member that is an id, fit for a URL's path. */
void np_message_id(struct np_json_in *in, const char *member, char out[NP_DEVICE_ID_MAX + 1]);

/* The member intervals. */
void np_message_intervals(struct np_json_in *in, int64_t *out_poll_s, int64_t *out_checkin_s, int64_t *out_jitter_s);

#endif
