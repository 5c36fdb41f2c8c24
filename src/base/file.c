/* file.c: whole files in (mapped) and whole files out (written beside, then renamed).
 *
 * A file under its final name is always complete: data go to NAME.tmp-PID-K in the same folder, are flushed and
 * fsynced, and only then renamed over NAME; the folder is fsynced so that the rename survives a power cut too. Every
 * step's result is looked at, because a full disk may show itself first in fclose. A link under the final name is
 * replaced, not followed. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sys.h"

static tsr_status file_error(tsr_ctx *c, const char *what, const char *path, int e) {
    bool missing = e == ENOENT || e == ENOTDIR;
    const char *hint = missing ? "check the path"
                     : e == EACCES || e == EPERM || e == EROFS ? "check the permissions"
                     : e == ENOSPC || e == EDQUOT || e == EFBIG ? "free some space or choose another disk" : "";
    return err_set(c, missing ? TSR_ENOTFOUND : TSR_EIO, "cannot %s \"%s\": %s%s%s", what, path, strerror(e),
        *hint ? "; " : "", hint);
}

static tsr_status map_fd(tsr_ctx *c, const char *path, int fd, struct file_map *out) {
    struct stat st;
    if (fstat(fd, &st)) return file_error(c, "read", path, errno);
    if (S_ISDIR(st.st_mode)) return file_error(c, "read", path, EISDIR);
    if (!S_ISREG(st.st_mode)) {
        return err_set(c, TSR_EIO,
            "cannot read \"%s\": it is a pipe or a device, and a regular file is needed; copy it to a file first",
            path);
    }
    if ((uintmax_t)st.st_size > PTRDIFF_MAX) return file_error(c, "map", path, EFBIG);
    if (!st.st_size) return TSR_OK;
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (p == MAP_FAILED) return file_error(c, "map", path, errno);
    *out = (struct file_map){p, (size_t)st.st_size};
    return TSR_OK;
}

tsr_status file_map(tsr_ctx *c, const char *path, struct file_map *out) {
    *out = (struct file_map){0};
    /* non-blocking: opening a pipe must not wait for a writer */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return file_error(c, "open", path, errno);
    tsr_status s = map_fd(c, path, fd, out);
    close(fd);
    return s;
}

void file_unmap(struct file_map *f) {
    if (f->p) munmap((void *)(uintptr_t)f->p, f->n);
    *f = (struct file_map){0};
}

/* ---- writing
 * -------------------------------------------------------------------------------------------------------- */

enum { TMP_TRIES = 100, TMP_EXTRA = 48 };

/* Drops everything `o` holds; the temporary file stays unless it is removed before. */
static void release(struct file_out *o) {
    if (o->f) fclose(o->f);
    if (o->tmp) mem_free(o->c, o->tmp, strlen(o->path) + TMP_EXTRA);
    mem_strfree(o->c, o->path);
    *o = (struct file_out){.c = o->c};
}

/* Opens the first free name beside the target; -1 with errno set when there is none. */
static int create_tmp(struct file_out *o, size_t room) {
    int fd = -1;
    for (int k = 0; k < TMP_TRIES && fd < 0; k++) {
        snprintf(o->tmp, room, "%s.tmp-%ld-%d", o->path, (long)getpid(), k);
        fd = open(o->tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd < 0 && errno != EEXIST) break;
    }
    return fd;
}

tsr_status file_out_open(tsr_ctx *c, const char *path, struct file_out *o) {
    size_t room = strlen(path) + TMP_EXTRA;
    *o = (struct file_out){.c = c, .path = mem_strdup(c, path)};
    o->tmp = o->path ? mem_alloc(c, room) : NULL;
    if (!o->tmp) return release(o), TSR_ENOMEM;
    int fd = create_tmp(o, room);
    o->f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (o->f) return TSR_OK;
    tsr_status s = file_error(c, "create", o->tmp, errno);
    if (fd >= 0) {
        close(fd);
        unlink(o->tmp);
    }
    release(o);
    return s;
}

tsr_status file_out_write(struct file_out *o, const void *p, size_t n) {
    if (!n || fwrite(p, 1, n, o->f) == n) return TSR_OK;
    return file_error(o->c, "write", o->tmp, errno);
}

static void sync_folder(const char *path) {
    char folder[4096];
    const char *slash = strrchr(path, '/');
    size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n >= sizeof folder) return;
    memcpy(folder, slash ? path : ".", slash ? n : 1);
    folder[slash ? n : 1] = 0;
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return; /* not every file system lets a folder be opened; the file itself is safe by now */
    fsync(fd);
    close(fd);
}

tsr_status file_out_commit(struct file_out *o) {
    int e = 0;
    if (ferror(o->f) || fflush(o->f) || fsync(fileno(o->f))) e = errno ? errno : EIO;
    if (fclose(o->f) && !e) e = errno;
    o->f = NULL;
    if (!e && rename(o->tmp, o->path)) e = errno;
    tsr_status s = TSR_OK;
    if (e) {
        s = file_error(o->c, "write", o->path, e);
        unlink(o->tmp);
    } else {
        sync_folder(o->path);
    }
    release(o);
    return s;
}

void file_out_abort(struct file_out *o) {
    if (!o->tmp) return;
    unlink(o->tmp);
    release(o);
}
