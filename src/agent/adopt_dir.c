#include "agent/adopt_dir.h"

#include "base/ini.h"
#include "base/must.h"
#include "base/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct ini_key rule_keys[] = {
    {INI(INI_TEXT, "match", "model", struct adopt_rule, model)},
    {INI(INI_TEXT, "match", "serial", struct adopt_rule, serial)},
    {INI(INI_TEXT, "match", "place", struct adopt_rule, place)},
    {INI(INI_SIZE, "match", "size_min", struct adopt_rule, size_min), .min = 1},
    {INI(INI_SIZE, "match", "size_max", struct adopt_rule, size_max), .min = 1},
    {INI(INI_BOOL, "adopt", "adopt", struct adopt_rule, adopt)},
    {INI_WORDS("adopt", "as", struct adopt_rule, provider, provider_words)},
    {INI(INI_TEXT, "adopt", "class", struct adopt_rule, class)},
    {INI(INI_U32, "adopt", "max_drives", struct adopt_rule, max_drives), .min = 1},
};
static const struct ini_map rule_ini = INI_MAP(struct adopt_rule, rule_keys);

static int is_rule(const struct dirent *entry)
{
    const size_t len = strlen(entry->d_name);
    return entry->d_name[0] != '.' && len > 5 && strcmp(entry->d_name + len - 5, ".conf") == 0;
}

/* Byte order, whatever the locale: the order decides which rule is first. */
static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool rule_load(const char *dir, const char *file, struct adopt_rule *out, struct err *err)
{
    char path[PATH_TEXT_MAX + 256], name[256];
    struct adopt_rule rule = {.adopt = true, .provider = PROVIDER_NAMESPACE};
    snprintf(path, sizeof(path), "%s/%s", dir, file);
    snprintf(name, sizeof(name), "%.*s", (int)(strlen(file) - 5), file);
    if (!text_is_name(name, NAME_MAX_LEN)) {
        err_set(err, ERR_INPUT, "cannot use '%s': its name is no name for a rule", path);
        return err_hint(err, "use 1 to %d letters, digits, '.', '_' and '-', then .conf", NAME_MAX_LEN);
    }
    text_cut(rule.name.v, sizeof(rule.name.v), name);
    if (!ini_load_file(&rule_ini, path, &rule, err))
        return false;
    const char *wrong = adopt_rule_wrong(&rule);
    if (wrong != NULL)
        return err_set(err, ERR_INPUT, "cannot use '%s': %s", path, wrong);
    *out = rule;
    return true;
}

static bool rules_load(const char *dir, struct dirent **list, int count, struct adopt_rules *out, struct err *err)
{
    if (count > ADOPT_RULES_MAX)
        return err_set(err, ERR_INPUT, "cannot use '%s': there are more than %d rules", dir, ADOPT_RULES_MAX);
    for (int i = 0; i < count; i++) {
        if (!rule_load(dir, list[i]->d_name, &out->at[out->count], err))
            return false;
        out->count++;
    }
    return true;
}

void adopt_dir_load(const char *dir, struct adopt_rules *out)
{
    const bool must_be_there = dir != NULL;
    struct dirent **list = NULL;
    struct err err = {0};
    *out = (struct adopt_rules){0};
    dir = must_be_there ? dir : ADOPT_DIR_DEFAULT;
    const int count = scandir(dir, &list, is_rule, by_name);
    if (count < 0 && errno == ENOENT && !must_be_there)
        return;
    const bool ok =
        count < 0 ? err_sys(&err, errno, "cannot read folder '%s'", dir) : rules_load(dir, list, count, out, &err);
    for (int i = 0; i < count; i++)
        free(list[i]);
    free(list);
    if (ok)
        return;
    out->count = 0;
    snprintf(out->broken, sizeof(out->broken), "%.250s%s%.140s", err.msg, err.hint[0] != '\0' ? "; " : "", err.hint);
}
