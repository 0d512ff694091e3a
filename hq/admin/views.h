/* views: devices, orders and the fleet as JSON, for the operator: `nameplate-hq device|order|stats --json` and the
 * dashboard show the same. The shapes are those of docs/schema/{devices,device,orders,order,stats}.schema.json: members
 * are added, never renamed or removed. Times are Unix times in seconds. */
#ifndef HQ_ADMIN_VIEWS_H
#define HQ_ADMIN_VIEWS_H

#include <stddef.h>

#include "hq/store/browse.h"
#include "hq/store/store.h"

#define NP_VIEW_ORDERS_MAX 20 /* of a device, the newest */

/* A device as lists show it. *out_json is malloc'd, one line. Returns 0, -ENOMEM or a database error. */
int np_view_device(struct np_store *store, const struct np_device *device, char **out_json);

/* A device with its newest orders and its timeline. As np_view_device. */
int np_view_device_whole(struct np_store *store, const struct np_device *device, char **out_json);

/* An order. As np_view_device. */
int np_view_order(const struct np_order *order, char **out_json);

/* The fleet's numbers. As np_view_device. */
int np_view_census(const struct np_census *census, char **out_json);

#endif
