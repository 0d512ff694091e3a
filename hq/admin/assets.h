/* assets: the dashboard's files (hq/admin/assets), which CMake builds into the program (hq/admin/embed.cmake). */
#ifndef HQ_ADMIN_ASSETS_H
#define HQ_ADMIN_ASSETS_H

#include <stddef.h>

/* The bytes of a file and their number. */
#define NP_ASSET(name)                                                                                                 \
    extern const unsigned char np_asset_##name[];                                                                      \
    extern const size_t np_asset_##name##_len;

NP_ASSET(index_html)
NP_ASSET(login_html)
NP_ASSET(app_css)
NP_ASSET(app_js)
NP_ASSET(icon_svg)
NP_ASSET(uplot_css)
NP_ASSET(uplot_js)

#endif
