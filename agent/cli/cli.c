#include "agent/cli/cli.h"

#include <stdio.h>
#include <string.h>

int np_cli_main(int argc, char **argv)
{
    if (argc >= 2 && strcmp(argv[1], "version") == 0) {
        puts("nameplate " NP_VERSION);
        return NP_EXIT_OK;
    }
    fputs("usage: nameplate agent|resolver|status|version [--help]\n", stderr);
    return NP_EXIT_USAGE;
}
