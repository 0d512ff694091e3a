#include "hq/cli/cli.h"

int main(int argc, char **argv)
{
    return np_hq_cli_main(argc, argv);
}
