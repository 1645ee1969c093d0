#include "virt/domain_xml.h"

#include "base/must.h"

#include <libxml/parser.h>
#include <libxml/xpath.h>
#include <limits.h>
#include <setjmp.h>
#include <spawn.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

extern char **environ;

/* Each is test/golden/domain/<name>.json, and beside it what came out: <name>.xml, <name>.disks.xml, <name>.args.
 * NSMITH_GOLDEN=write writes them anew: look at the difference before it is committed. */
static const char *const cases[] = {
    "scsi-image",  /* boot image, network, two block devices */
    "scsi-kernel", /* direct kernel boot, KVM, three files, native AIO */
    "blk-image",   /* virtio-blk slices beside a raw image, 4096-byte blocks */
    "scsi-most",   /* as many slices as a claim can have */
    "odd-text",    /* everything that XML, a shell and QEMU's options treat specially */
};

static const char *golden_dir(void)
{
    const char *dir = getenv("NSMITH_GOLDEN_DIR");
    return dir != NULL ? dir : "test/golden";
}

static char *path_of(const char *name, const char *end)
{
    static char path[PATH_MAX];
    snprintf(path, sizeof(path), "%s/domain/%s%s", golden_dir(), name, end);
    return path;
}

/* NULL when the file is not there. */
static char *slurp(const char *path)
{
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    const ssize_t len = getdelim(&text, &size, '\0', file);
    fclose(file);
    if (len < 0) {
        free(text);
        return strdup("");
    }
    return text;
}

static struct domain load(const char *name)
{
    char *text = slurp(path_of(name, ".json"));
    if (text == NULL)
        fail_msg("%s is missing: run from the top of the source, or set NSMITH_GOLDEN_DIR", path_of(name, ".json"));
    struct domain domain;
    struct err err = {0};
    if (!jmap_parse(&domain_jmap, text, strlen(text), JMAP_STRICT, &domain, &err))
        fail_msg("%s: %s", name, err.msg);
    free(text);
    return domain;
}

static void compare(const char *name, const char *end, const char *got)
{
    const char *path = path_of(name, end);
    if (getenv("NSMITH_GOLDEN") != NULL) {
        FILE *file = fopen(path, "we");
        assert_non_null(file);
        fputs(got, file);
        assert_int_equal(fclose(file), 0);
        return;
    }
    char *want = slurp(path);
    if (want == NULL || strcmp(want, got) != 0)
        fail_msg("%s differs; got:\n%s\nwant:\n%s", path, got, want != NULL ? want : "(no such file)");
    free(want);
}

static void golden_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct domain domain = load(cases[i]);
        static char *(*const writers[])(const struct domain *) = {domain_xml, domain_disks_xml, domain_qemu_args};
        static const char *const ends[] = {".xml", ".disks.xml", ".args"};
        for (size_t w = 0; w < 3; w++) {
            char *text = writers[w](&domain);
            compare(cases[i], ends[w], text);
            free(text);
        }
    }
}

/* Exit code of a program; -1 when it cannot be run. */
static int run(const char *const argv[])
{
    pid_t pid;
    int status;
    char *args[8] = {0};
    for (size_t i = 0; argv[i] != NULL && i < 7; i++)
        must((args[i] = strdup(argv[i])) != NULL);
    const int failed = posix_spawnp(&pid, args[0], NULL, NULL, args, environ);
    for (size_t i = 0; args[i] != NULL; i++)
        free(args[i]);
    if (failed != 0 || waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) == 127)
        return -1;
    return WEXITSTATUS(status);
}

static void libvirt_takes_it(void **state)
{
    (void)state;
    if (access("/usr/bin/virt-xml-validate", X_OK) != 0) {
        fprintf(stderr, "skipped: virt-xml-validate (package libvirt-clients) is not there\n");
        skip();
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct domain domain = load(cases[i]);
        char path[] = "/tmp/nsmith-xml-XXXXXX";
        const int fd = mkstemp(path);
        assert_true(fd >= 0);
        char *text = domain_xml(&domain);
        assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
        close(fd);
        const int code = run((const char *const[]){"virt-xml-validate", path, "domain", NULL});
        unlink(path);
        if (code != 0)
            fail_msg("virt-xml-validate refuses %s (exit code %d):\n%s", cases[i], code, text);
        free(text);
    }
}

/* ---- what must hold for every domain --------------------------------------------------------------------------- */

static char *value_at(xmlDoc *doc, const char *fmt, unsigned n)
{
    char path[256];
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(path, sizeof(path), fmt, n, n, n);
#pragma GCC diagnostic pop
    xmlXPathContext *context = xmlXPathNewContext(doc);
    must(context != NULL);
    xmlXPathObject *found = xmlXPathEvalExpression((const xmlChar *)path, context);
    must(found != NULL);
    xmlChar *text = xmlXPathCastToString(found);
    char *copy = strdup((const char *)text);
    xmlFree(text);
    xmlXPathFreeObject(found);
    xmlXPathFreeContext(context);
    return copy;
}

static void holds(xmlDoc *doc, const char *name, const char *fmt, unsigned n, const char *want)
{
    char *got = value_at(doc, fmt, n);
    if (strcmp(got, want) != 0)
        fail_msg("%s, %s, n = %u: got '%s', want '%s'", name, fmt, n, got, want);
    free(got);
}

static const char *number(unsigned n)
{
    static char text[16];
    snprintf(text, sizeof(text), "%u", n);
    return text;
}

static void each_slice_has_its_own_iothread(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct domain domain = load(cases[i]);
        const bool scsi = domain.datapath == DATAPATH_SCSI;
        char *text = domain_xml(&domain);
        xmlDoc *doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET);
        assert_non_null(doc);
        const unsigned count = (unsigned)domain.disk_count;
        holds(doc, cases[i], "/domain/iothreads", 0, number(count));
        holds(doc, cases[i], "count(//disk[serial])", 0, number(count));
        holds(doc, cases[i], "count(//controller[@type='scsi'])", 0, number(scsi ? count : 0));
        holds(doc, cases[i], "count(//disk[serial]/driver[@type='raw'][@cache='none'][@discard='unmap'])", 0,
              number(count));
        holds(doc, cases[i], "count(//disk[@device='lun'])", 0, "0");
        holds(doc, cases[i], "count(//disk[serial]/boot)", 0, "0");
        holds(doc, cases[i], "/domain/metadata/*[local-name()='vm'][namespace-uri()='" DOMAIN_XML_URI "']/@uuid", 0,
              domain.uuid.v);
        for (unsigned n = 0; n < count; n++) {
            const struct domain_disk *disk = &domain.disks[n];
            if (scsi) {
                holds(doc, cases[i], "//controller[@index='%u']/driver/@iothread", n, number(n + 1));
                holds(doc, cases[i], "//disk[address/@controller='%u']/serial", n, disk->serial.v);
                holds(doc, cases[i], "//disk[address/@controller='%u']/wwn", n, disk->wwn);
                holds(doc, cases[i], "string(//disk[address/@controller='%u']/source/@*)", n, disk->path);
            } else {
                holds(doc, cases[i], "//disk[driver/@iothread='%u']/serial", n + 1, disk->serial.v);
                holds(doc, cases[i], "string(//disk[driver/@iothread='%u']/source/@*)", n + 1, disk->path);
            }
        }
        xmlFreeDoc(doc);
        free(text);
    }
}

static void outside_text_stays_text(void **state)
{
    (void)state;
    const struct domain domain = load("odd-text");
    char *text = domain_xml(&domain);
    xmlDoc *doc = xmlReadMemory(text, (int)strlen(text), NULL, NULL, XML_PARSE_NONET);
    assert_non_null(doc);
    holds(doc, "odd-text", "/domain/os/cmdline", 0, domain.cmdline);
    holds(doc, "odd-text", "/domain/os/kernel", 0, domain.kernel);
    holds(doc, "odd-text", "//disk[target/@dev='vda']/source/@file", 0, domain.image);
    holds(doc, "odd-text", "//serial/log/@file", 0, domain.console_log);
    holds(doc, "odd-text", "count(//evil)", 0, "0");
    xmlFreeDoc(doc);
    free(text);
}

/* What a program gets by way of xargs. */
static void xargs_reads_the_arguments(void **state)
{
    (void)state;
    const struct domain domain = load("odd-text");
    char *args = domain_qemu_args(&domain);
    char path[] = "/tmp/nsmith-args-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, args, strlen(args)), (ssize_t)strlen(args));
    close(fd);
    char command[256];
    snprintf(command, sizeof(command),
             "n=$(xargs sh -c 'for a; do printf \"%%s\\n\" \"$a\"; done' sh <%s | grep -cxF -- \"$0\"); [ \"$n\" = 1 ]",
             path);
    const char *want = "driver=file,node-name=nsmith-disk1,filename=/srv/it's,, \"a\" <b> & $(c) `d` \\e.img,"
                       "cache.direct=on,aio=native,discard=unmap,auto-read-only=off";
    const int code = run((const char *const[]){"sh", "-c", command, want, NULL});
    unlink(path);
    if (code != 0)
        fail_msg("want the word\n%s\nin\n%s", want, args);
    free(args);
}

static void target_names(void **state)
{
    (void)state;
    static const struct {
        size_t index;
        const char *want;
    } rows[] = {{0, "sda"},   {1, "sdb"},    {25, "sdz"},    {26, "sdaa"},   {27, "sdab"},   {51, "sdaz"},
                {52, "sdba"}, {701, "sdzz"}, {702, "sdaaa"}, {703, "sdaab"}, {727, "sdaaz"}, {728, "sdaba"}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char got[DOMAIN_TARGET_MAX];
        domain_target(got, "sd", rows[i].index);
        if (strcmp(got, rows[i].want) != 0)
            fail_msg("disk %zu: got %s, want %s", rows[i].index, got, rows[i].want);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden_files),
        cmocka_unit_test(each_slice_has_its_own_iothread),
        cmocka_unit_test(outside_text_stays_text),
        cmocka_unit_test(xargs_reads_the_arguments),
        cmocka_unit_test(target_names),
        cmocka_unit_test(libvirt_takes_it),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    xmlCleanupParser();
    return failed;
}
