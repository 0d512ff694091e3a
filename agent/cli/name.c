#include "agent/cli/name.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "agent/cli/ask.h"
#include "agent/cli/cli.h"

#define ANSWER_S 60 /* longer than a look-up, a connection and two answers of HQ may take */

static void usage(void)
{
    puts(
        "usage: nameplate name [--json]\n"
        "       nameplate name check NAME [--json]\n"
        "       nameplate name request NAME [--yes] [--json]\n\n"
        "Shows what this box is called; asks HQ whether it could have a name that you choose, and what everybody "
        "would\n"
        "know then; or asks for it. NAME is what stands before the first dot. HQ's operator decides whether names can\n"
        "be chosen at all.\n\n"
        "A name becomes public for good: certificates are listed in public logs. The old name leads here until its\n"
        "certificate ends, and is then never given to anybody again. The box is called by the new name as soon as it\n"
        "has a certificate for it; until then nothing changes.\n\n"
        "  --yes             do not ask again\n"
        "  --json            what came of it as JSON (docs/schema/name.schema.json)\n"
        "  --config FILE     configuration that names the run folder (default " NP_DEFAULT_CONFIG ")\n"
        "  --control SOCKET  the agent's control socket itself\n\n"
        "Exit status: 0 done, or possible; 1 HQ could not be asked; 2 wrong usage; 3 the agent is not running or not\n"
        "reachable; 4 HQ says no.");
}

/* One run of the verb. */
struct wish {
    const char *path;
    bool yes, json;
    char label[NP_NAME_MAX + 1];
};

static const char *text(const json_t *object, const char *member)
{
    const char *value = json_string_value(json_object_get(object, member));
    return value ? value : "";
}

/* One question to the agent; NULL after a message, with the exit status. */
static json_t *ask(const struct wish *wish, const char *request, int *out_code)
{
    char *answer;
    int rc = np_ask(wish->path, request, &answer);
    if (rc) {
        *out_code = np_ask_unreachable("name", wish->path, rc);
        return NULL;
    }
    json_t *object = json_loads(answer, 0, NULL);
    const char *error = text(object, "error");
    free(answer);
    if (json_is_object(object) && !error[0])
        return object;
    fprintf(stderr, "nameplate name: %s\n", error[0] ? error : "the agent's answer cannot be read");
    json_decref(object);
    *out_code = NP_EXIT_FAILURE;
    return NULL;
}

/* Asks HQ through the agent, and waits for the end. */
static json_t *ask_hq(const struct wish *wish, bool check, int *out_code)
{
    static const struct timespec pause = {.tv_nsec = 200000000};
    char request[NP_CONTROL_REQUEST_MAX];
    if ((size_t)snprintf(request, sizeof request, "name %s %s", check ? "check" : "request", wish->label) >=
        sizeof request) {
        fputs("nameplate name: that name is too long\n", stderr);
        *out_code = NP_EXIT_USAGE;
        return NULL;
    }
    time_t end = time(NULL) + ANSWER_S;
    for (;;) {
        json_t *answer = ask(wish, request, out_code);
        if (!answer || strcmp(text(answer, "ask"), "under-way") != 0 || time(NULL) > end)
            return answer;
        json_decref(answer);
        nanosleep(&pause, NULL); /* the agent answers each question at once: it has no way to tell us later */
        snprintf(request, sizeof request, "name");
    }
}

/* What came of it, in a word. */
static const char *result_of(const json_t *answer, bool asked, bool check)
{
    if (!asked)
        return "shown";
    if (strcmp(text(answer, "ask"), "done") == 0)
        return !check ? "given" : json_is_object(json_object_get(answer, "offer")) ? "free" : "own";
    return text(json_object_get(answer, "problem"), "type")[0] ? "refused" : "unasked";
}

static int code_of(const char *result)
{
    return strcmp(result, "refused") == 0   ? NP_EXIT_REFUSED
           : strcmp(result, "unasked") == 0 ? NP_EXIT_FAILURE
                                            : NP_EXIT_OK;
}

static void print_json(json_t *answer, const char *result)
{
    json_object_del(answer, "ask");
    json_object_del(answer, "check");
    json_object_set_new(answer, "result", json_string(result));
    char *out = json_dumps(answer, JSON_INDENT(2) | JSON_ENSURE_ASCII);
    puts(out ? out : "{}");
    free(out);
}

static void print_names(const json_t *answer)
{
    const json_t *old = json_object_get(answer, "old");
    if (!text(answer, "name")[0]) {
        puts("This box has no name yet.");
        return;
    }
    puts(text(answer, "name"));
    if (text(answer, "wanted")[0])
        printf("%s, once its certificate is there\n", text(answer, "wanted"));
    if (json_is_object(old))
        printf("%s leads here too, until %s\n", text(old, "name"), text(old, "until"));
}

static void print_offer(const json_t *answer)
{
    const json_t *offer = json_object_get(answer, "offer"), *sentences = json_object_get(offer, "public"), *item;
    size_t i;
    printf("%s can be had. What everybody will be able to know, for good:\n\n", text(offer, "name"));
    json_array_foreach(sentences, i, item)
    {
        printf("  - %s\n", json_string_value(item) ? json_string_value(item) : "?");
    }
    puts("");
}

static int print_problem(const json_t *answer, const char *result)
{
    const json_t *problem = json_object_get(answer, "problem");
    bool refused = strcmp(result, "refused") == 0;
    const char *detail = text(problem, "detail");
    fprintf(stderr, "nameplate name: %s%s\n", refused ? "HQ says no: " : "HQ could not be asked: ",
            detail[0] ? detail : "no answer yet; `nameplate name` shows what comes of it");
    return code_of(result);
}

/* True: go on. */
static bool confirm(const struct wish *wish, const json_t *answer, int *out_code)
{
    char line[16] = "";
    if (wish->yes)
        return true;
    if (!isatty(STDIN_FILENO)) {
        fputs("nameplate name: there is no terminal to ask on; give --yes if it is meant\n", stderr);
        *out_code = NP_EXIT_USAGE;
        return false;
    }
    printf("%s leads here until %s. There is no way back.\nType yes to go on: ", text(answer, "name"),
           text(json_object_get(answer, "offer"), "until"));
    fflush(stdout);
    if (fgets(line, sizeof line, stdin) && strcmp(line, "yes\n") == 0)
        return true;
    fputs("nothing was changed\n", stderr);
    *out_code = NP_EXIT_FAILURE;
    return false;
}

static int show(const struct wish *wish)
{
    int code = NP_EXIT_OK;
    json_t *answer = ask(wish, "name", &code);
    if (!answer)
        return code;
    if (wish->json) {
        json_object_set_new(answer, "asked", json_null());
        json_object_set_new(answer, "offer", json_null());
        json_object_set_new(answer, "problem", json_null());
        print_json(answer, "shown");
    } else {
        print_names(answer);
    }
    json_decref(answer);
    return code;
}

/* Ends a run with what came of it. */
static int finish(const struct wish *wish, json_t *answer, bool check)
{
    const char *result = result_of(answer, true, check);
    int code = code_of(result);
    if (wish->json)
        print_json(answer, result);
    else if (code != NP_EXIT_OK)
        print_problem(answer, result);
    else if (strcmp(result, "free") == 0)
        print_offer(answer);
    else if (strcmp(result, "own") == 0)
        printf("This box has that name already, or has asked for it.\n");
    else if (text(answer, "wanted")[0])
        printf("%s is given. Its certificate is being made; `nameplate status` shows when it is there. Until then this "
               "box\nis %s.\n",
               text(answer, "wanted"), text(answer, "name"));
    else
        printf("This box is %s.\n", text(answer, "name"));
    json_decref(answer);
    return code;
}

static int request_name(const struct wish *wish)
{
    int code = NP_EXIT_OK;
    if (wish->json && !wish->yes) {
        fputs("nameplate name: with --json nobody is asked; give --yes if it is meant\n", stderr);
        return NP_EXIT_USAGE;
    }
    json_t *answer = ask_hq(wish, true, &code);
    if (!answer)
        return code;
    if (strcmp(result_of(answer, true, true), "free") != 0)
        return finish(wish, answer, true);
    if (!wish->json)
        print_offer(answer);
    bool go_on = confirm(wish, answer, &code);
    json_decref(answer);
    answer = go_on ? ask_hq(wish, false, &code) : NULL;
    return answer ? finish(wish, answer, false) : code;
}

static int check_name(const struct wish *wish)
{
    int code = NP_EXIT_OK;
    json_t *answer = ask_hq(wish, true, &code);
    return answer ? finish(wish, answer, true) : code;
}

/* The label of what was typed: a whole name in this box's zone is fine, too. Returns an exit status. */
static int read_label(struct wish *wish, const char *typed)
{
    int code = NP_EXIT_OK;
    json_t *answer = ask(wish, "name", &code);
    if (!answer)
        return code;
    const char *zone = strchr(text(answer, "name"), '.');
    size_t len = strlen(typed), tail = zone ? strlen(zone) : 0;
    len -= len > 0 && typed[len - 1] == '.';
    if (tail && len > tail && strncasecmp(typed + len - tail, zone, tail) == 0)
        len -= tail;
    if (len == 0 || len > NP_NAME_MAX || memchr(typed, '.', len)) {
        fprintf(stderr, "nameplate name: '%.80s': give what stands before the first dot%s%s\n", typed,
                zone ? "; all names are in " : "", zone ? zone + 1 : "");
        code = NP_EXIT_USAGE;
    } else {
        snprintf(wish->label, sizeof wish->label, "%.*s", (int)len, typed);
    }
    json_decref(answer);
    return code;
}

int np_name_verb_main(int argc, char **argv)
{
    struct wish wish = {.yes = false};
    const struct np_ask_flag flags[] = {{"yes", &wish.yes}, {"json", &wish.json}, {NULL, NULL}};
    const char *words[2];
    char path[NP_ASK_PATH_MAX];
    int count, code = np_ask_words(argc, argv, usage, flags, path, words, 2, &count);
    if (code)
        return code == NP_ASK_HELPED ? NP_EXIT_OK : code;
    wish.path = path;
    if (count == 0)
        return show(&wish);
    bool check = strcmp(words[0], "check") == 0;
    if (!check && strcmp(words[0], "request") != 0) {
        fprintf(stderr, "nameplate name: unexpected '%.40s'; check NAME, or request NAME\n", words[0]);
        return NP_EXIT_USAGE;
    }
    if (count < 2) {
        fprintf(stderr, "nameplate name: %s which name?\n", words[0]);
        return NP_EXIT_USAGE;
    }
    code = read_label(&wish, words[1]);
    if (code)
        return code;
    return check ? check_name(&wish) : request_name(&wish);
}
