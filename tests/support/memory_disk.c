#include "tests/support/memory_disk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "resolver/base/error.h"

#define NODES_MAX                                                                                                      \
    256 /* files and folders at a time: two generations and a new one are six, the rest waits for a sync */
#define ENTRIES_MAX 64  /* names in a folder */
#define PENDING_MAX 256 /* changes of names since the last sync */
#define NAME_SIZE   40
#define ROOT        0

/* A file or a folder. */
struct node {
    bool used, folder, synced;
    uint8_t *data;
    size_t len;
};

/* A name in a folder. */
struct entry {
    int folder, node;
    char name[NAME_SIZE];
};

/* All names of the disk. */
struct names {
    struct entry entries[ENTRIES_MAX];
    size_t count;
};

/* A change of names that the medium may not have. gone or made may be missing; a rename is both at once. */
struct change {
    int folder, node;
    char gone[NAME_SIZE], made[NAME_SIZE];
};

struct memory_disk {
    struct np_disk operations;
    struct node nodes[NODES_MAX];
    struct names now, medium;
    struct change pending[PENDING_MAX];
    size_t pending_count;
    int error;
    unsigned writes, cut_before;
    bool cut;
    memory_disk_fn *ask;
    void *ask_ctx;
    uint64_t random;
};

static uint64_t draw(struct memory_disk *disk)
{
    disk->random = disk->random * 6364136223846793005u + 1442695040888963407u; /* Knuth's MMIX */
    return disk->random >> 33;
}

static struct entry *find(struct names *names, int folder, const char *name)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->entries[i].folder == folder && strcmp(names->entries[i].name, name) == 0)
            return &names->entries[i];
    }
    return NULL;
}

static void drop(struct names *names, int folder, const char *name)
{
    struct entry *entry = find(names, folder, name);
    if (entry)
        *entry = names->entries[--names->count];
}

static void put(struct names *names, int folder, const char *name, int node)
{
    drop(names, folder, name);
    if (names->count == ENTRIES_MAX)
        abort();
    struct entry *entry = &names->entries[names->count++];
    *entry = (struct entry){.folder = folder, .node = node};
    memcpy(entry->name, name, strlen(name) + 1);
}

static void apply(struct names *names, const struct change *change)
{
    if (change->gone[0])
        drop(names, change->folder, change->gone);
    if (change->made[0])
        put(names, change->folder, change->made, change->node);
}

/* Splits "/folder/file": the number of the folder that holds the name, and the name. */
static int locate(struct memory_disk *disk, const char *path, int *out_folder, char out_name[NAME_SIZE])
{
    int folder = ROOT;
    for (;;) {
        while (*path == '/')
            path++;
        size_t len = strcspn(path, "/");
        if (len == 0 || len >= NAME_SIZE)
            return -ENAMETOOLONG;
        memcpy(out_name, path, len);
        out_name[len] = 0;
        path += len;
        if (path[strspn(path, "/")] == 0)
            break;
        struct entry *entry = find(&disk->now, folder, out_name);
        if (!entry)
            return -ENOENT;
        folder = entry->node;
    }
    *out_folder = folder;
    return 0;
}

/* May this operation, which writes, be done? */
static int may_write(struct memory_disk *disk)
{
    if (disk->cut)
        return -EIO;
    disk->writes++;
    if ((disk->cut_before && --disk->cut_before == 0) || (disk->ask && disk->ask(disk->ask_ctx)))
        disk->cut = true;
    return disk->cut ? -EIO : disk->error;
}

static int new_node(struct memory_disk *disk, bool folder)
{
    for (int i = 0; i < NODES_MAX; i++) {
        if (!disk->nodes[i].used) {
            disk->nodes[i] = (struct node){.used = true, .folder = folder};
            return i;
        }
    }
    abort();
}

/* Changes the names, which the medium hears of at the folder's next sync, or never. */
static void change(struct memory_disk *disk, int folder, const char *gone, const char *made, int node)
{
    struct change *one = &disk->pending[disk->pending_count++];
    if (disk->pending_count > PENDING_MAX)
        abort();
    *one = (struct change){.folder = folder, .node = node};
    memcpy(one->gone, gone, strlen(gone) + 1);
    memcpy(one->made, made, strlen(made) + 1);
    apply(&disk->now, one);
}

static bool is_named(const struct names *names, int node)
{
    for (size_t i = 0; i < names->count; i++) {
        if (names->entries[i].node == node)
            return true;
    }
    return false;
}

/* Names in a folder that nothing names any more are gone with it. */
static void prune(struct memory_disk *disk, struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (!disk->nodes[names->entries[i].folder].used)
            names->entries[i--] = names->entries[--names->count];
    }
}

static void collect(struct memory_disk *disk)
{
    for (int turn = 0; turn < 2; turn++) { /* folders, then what was in them */
        for (int i = 1; i < NODES_MAX; i++) {
            bool wanted = is_named(&disk->now, i) || is_named(&disk->medium, i);
            for (size_t j = 0; j < disk->pending_count && !wanted; j++)
                wanted = disk->pending[j].node == i;
            if (disk->nodes[i].used && !wanted) {
                free(disk->nodes[i].data);
                disk->nodes[i] = (struct node){.used = false};
            }
        }
        prune(disk, &disk->now);
        prune(disk, &disk->medium);
    }
}

static int op_read(void *ctx, const char *path, size_t max, uint8_t **out_data, size_t *out_len)
{
    struct memory_disk *disk = ctx;
    int folder;
    char name[NAME_SIZE];
    int rc = disk->cut ? -EIO : locate(disk, path, &folder, name);
    struct entry *entry = rc ? NULL : find(&disk->now, folder, name);
    if (!entry)
        return rc ? rc : -ENOENT;
    const struct node *node = &disk->nodes[entry->node];
    if (node->len > max)
        return NP_E_LIMIT;
    uint8_t *data = malloc(node->len + 1);
    if (!data)
        return -ENOMEM;
    if (node->len)
        memcpy(data, node->data, node->len);
    data[node->len] = 0;
    *out_data = data;
    *out_len = node->len;
    return 0;
}

static int op_write(void *ctx, const char *path, const void *data, size_t len)
{
    struct memory_disk *disk = ctx;
    int folder, rc = may_write(disk);
    char name[NAME_SIZE];
    if (rc == 0)
        rc = locate(disk, path, &folder, name);
    if (rc == 0 && find(&disk->now, folder, name))
        rc = -EEXIST;
    if (rc)
        return rc;
    int node = new_node(disk, false);
    change(disk, folder, "", name, node);
    disk->nodes[node].data = malloc(len + 1);
    if (!disk->nodes[node].data)
        abort();
    memcpy(disk->nodes[node].data, data, len);
    disk->nodes[node].len = len;
    rc = may_write(disk); /* the sync of its content is an operation of its own */
    disk->nodes[node].synced = rc == 0;
    return rc;
}

static int op_mkdir(void *ctx, const char *path)
{
    struct memory_disk *disk = ctx;
    int folder, rc = may_write(disk);
    char name[NAME_SIZE];
    if (rc == 0)
        rc = locate(disk, path, &folder, name);
    if (rc == 0 && find(&disk->now, folder, name))
        rc = -EEXIST;
    if (rc == 0)
        change(disk, folder, "", name, new_node(disk, true));
    return rc;
}

static int op_rename(void *ctx, const char *from, const char *to)
{
    struct memory_disk *disk = ctx;
    int folder, rc = may_write(disk);
    char old[NAME_SIZE], new[NAME_SIZE];
    if (rc == 0)
        rc = locate(disk, to, &folder, new);
    if (rc == 0)
        rc = locate(disk, from, &folder, old);
    struct entry *entry = rc ? NULL : find(&disk->now, folder, old);
    if (!entry)
        return rc ? rc : -ENOENT;
    if (find(&disk->now, folder, new))
        return -EEXIST;
    change(disk, folder, old, new, entry->node);
    return 0;
}

static int remove_entry(struct memory_disk *disk, const char *path, bool folder_wanted)
{
    int folder, rc = may_write(disk);
    char name[NAME_SIZE];
    if (rc == 0)
        rc = locate(disk, path, &folder, name);
    struct entry *entry = rc ? NULL : find(&disk->now, folder, name);
    if (!entry)
        return rc ? rc : -ENOENT;
    if (disk->nodes[entry->node].folder != folder_wanted)
        return folder_wanted ? -ENOTDIR : -EISDIR;
    for (size_t i = 0; i < disk->now.count; i++) {
        if (disk->now.entries[i].folder == entry->node)
            return -ENOTEMPTY;
    }
    change(disk, folder, name, "", -1);
    return 0;
}

static int op_unlink(void *ctx, const char *path)
{
    return remove_entry(ctx, path, false);
}

static int op_rmdir(void *ctx, const char *path)
{
    return remove_entry(ctx, path, true);
}

static int op_sync(void *ctx, const char *path)
{
    struct memory_disk *disk = ctx;
    int parent, folder = ROOT, rc = may_write(disk);
    char name[NAME_SIZE];
    size_t kept = 0;
    if (rc == 0 && path[strspn(path, "/")]) {
        rc = locate(disk, path, &parent, name);
        struct entry *entry = rc ? NULL : find(&disk->now, parent, name);
        folder = entry ? entry->node : -1;
    }
    if (rc || folder < 0)
        return rc ? rc : -ENOENT;
    for (size_t i = 0; i < disk->pending_count; i++) {
        if (disk->pending[i].folder == folder)
            apply(&disk->medium, &disk->pending[i]);
        else
            disk->pending[kept++] = disk->pending[i];
    }
    disk->pending_count = kept;
    collect(disk);
    return 0;
}

static int op_list(void *ctx, const char *folder, np_disk_name_fn *each, void *arg)
{
    struct memory_disk *disk = ctx;
    if (disk->cut || folder[strspn(folder, "/")])
        return -EIO;
    for (size_t i = 0; i < disk->now.count; i++) {
        if (disk->now.entries[i].folder == ROOT)
            each(arg, disk->now.entries[i].name);
    }
    return 0;
}

struct memory_disk *memory_disk_new(uint64_t random)
{
    struct memory_disk *disk = calloc(1, sizeof *disk);
    if (!disk)
        abort();
    disk->operations =
        (struct np_disk){disk, op_read, op_write, op_mkdir, op_rename, op_unlink, op_rmdir, op_sync, op_list};
    disk->random = random;
    disk->nodes[ROOT] = (struct node){.used = true, .folder = true};
    return disk;
}

void memory_disk_free(struct memory_disk *disk)
{
    if (!disk)
        return;
    for (int i = 0; i < NODES_MAX; i++)
        free(disk->nodes[i].data);
    free(disk);
}

struct memory_disk *memory_disk_copy(const struct memory_disk *disk)
{
    struct memory_disk *copy = memory_disk_new(disk->random);
    const struct np_disk operations = copy->operations;
    *copy = *disk;
    copy->operations = operations;
    for (int i = 0; i < NODES_MAX; i++) {
        if (!disk->nodes[i].data)
            continue;
        copy->nodes[i].data = malloc(disk->nodes[i].len + 1);
        if (!copy->nodes[i].data)
            abort();
        memcpy(copy->nodes[i].data, disk->nodes[i].data, disk->nodes[i].len);
    }
    return copy;
}

const struct np_disk *memory_disk_operations(const struct memory_disk *disk)
{
    return &disk->operations;
}

void memory_disk_fail(struct memory_disk *disk, int error)
{
    disk->error = error;
}

void memory_disk_cut_before(struct memory_disk *disk, unsigned count)
{
    disk->cut_before = count;
}

void memory_disk_on_write(struct memory_disk *disk, memory_disk_fn *ask, void *ctx)
{
    disk->ask = ask;
    disk->ask_ctx = ctx;
}

bool memory_disk_is_cut(const struct memory_disk *disk)
{
    return disk->cut;
}

void memory_disk_power_on(struct memory_disk *disk, uint64_t random)
{
    disk->random = random;
    draw(disk);
    for (size_t i = 0; i < disk->pending_count; i++) {
        if (random == 0 || (draw(disk) & 1))
            apply(&disk->medium, &disk->pending[i]);
    }
    disk->pending_count = 0;
    disk->now = disk->medium;
    for (int i = 0; i < NODES_MAX; i++) {
        struct node *node = &disk->nodes[i];
        if (random == 0 || node->folder || node->synced || !node->data)
            continue;
        size_t len = draw(disk) % (node->len + 1), whole = draw(disk) % (len + 1);
        memset(node->data + whole, 0, len - whole); /* what delayed allocation leaves */
        node->len = len;
        node->synced = true;
    }
    disk->cut = false;
    disk->cut_before = 0;
    collect(disk);
}

unsigned memory_disk_writes(const struct memory_disk *disk)
{
    return disk->writes;
}

bool memory_disk_holds(const struct memory_disk *disk, const void *bytes, size_t len)
{
    for (int i = 0; i < NODES_MAX; i++) {
        const struct node *node = &disk->nodes[i];
        if (node->data && (is_named(&disk->now, i) || is_named(&disk->medium, i)) &&
            memmem(node->data, node->len, bytes, len))
            return true;
    }
    return false;
}
