/* t_store_rules.c - what put refuses, by all back ends alike. */
#include "store_fixture.h"

/* ---- what put refuses ---------------------------------------------------------------------------------------- */

#define WITH(type, base, member, ...)         \
    static void member##_of_##base(void *row) \
    {                                         \
        struct type *it = row;                \
        __VA_ARGS__;                          \
    }

WITH(row_host, host, registration, it->registration--)
WITH(row_host, host, revision, it->wants_revision--)
WITH(row_host, host, later, it->registration++; it->wants_revision++; it->last_seen_ms--)
WITH(row_host, host, huge, it->registration = UINT64_MAX)
WITH(row_host, host, name, it->name.v[0] = '\0')
WITH(row_drive, drive, foreign_key, snprintf(it->key, sizeof(it->key), "h2/SN 1"))
WITH(row_drive, drive, prefix_key, snprintf(it->key, sizeof(it->key), "h11/SN 1"))
WITH(row_drive, drive, no_host, it->host.v[0] = '\0')
WITH(row_slice, slice, lower, it->generation--)
WITH(row_slice, slice, behind, it->slice.generation = it->generation + 1)
WITH(row_slice, slice, level, it->slice.generation = it->generation)
WITH(row_slice, slice, state, it->slice.state = SLICE_STATE_COUNT)
WITH(slice_class, class, size, it->nominal_bytes = 0)
WITH(flavor, flavor, class, it->class.v[0] = '\0')
WITH(row_claim, claim, state, it->state = CLAIM_STATE_COUNT)
WITH(row_claim, claim, crowd, it->slice_count = CLAIM_SLICES_MAX + 1)
WITH(row_vm, vm, uuid, it->spec.name = (struct name){"db"}; it->claim = (struct claim_id){"c2"})
WITH(row_vm, vm, claim, it->spec.name = (struct name){"db"}; it->spec.uuid = (struct uuid){"u2"})
WITH(row_vm, vm, power, it->power = VM_POWER_COUNT)
WITH(row_erasure, erasure, note, it->erasure.note[0] = 'x')
WITH(row_erasure, erasure, text, it->text[0] = 'x')
WITH(row_erasure, erasure, seq, it->id = (struct erasure_id){"e2"})
WITH(row_erasure, erasure, elsewhere, it->id = (struct erasure_id){"e2"}; it->host = (struct name){"h2"})
WITH(row_erasure, erasure, zero, it->id = (struct erasure_id){"e2"}; it->seq = 0)
WITH(row_request, request, body, it->body_hash[0] = 'x')
WITH(row_request, request, status, it->status = 409)

static const struct {
    const char *rule;
    enum store_kind kind;
    void (*change)(void *row);
    enum err_kind expect;
} refusals[] = {
    {"a registration never goes down", ROW_HOST, registration_of_host, ERR_CONFLICT},
    {"a revision never goes down", ROW_HOST, revision_of_host, ERR_CONFLICT},
    {"both may go up", ROW_HOST, later_of_host, ERR_NONE},
    {"a number beyond what SQL can hold is refused", ROW_HOST, huge_of_host, ERR_INPUT},
    {"a row without a key is refused", ROW_HOST, name_of_host, ERR_INPUT},
    {"a drive's key begins with its host", ROW_DRIVE, foreign_key_of_drive, ERR_INPUT},
    {"a longer host is another host", ROW_DRIVE, prefix_key_of_drive, ERR_INPUT},
    {"a drive has a host", ROW_DRIVE, no_host_of_drive, ERR_INPUT},
    {"a generation never goes down", ROW_SLICE, lower_of_slice, ERR_CONFLICT},
    {"the wanted generation is not below the agent's", ROW_SLICE, behind_of_slice, ERR_INPUT},
    {"the wanted generation may be the agent's", ROW_SLICE, level_of_slice, ERR_NONE},
    {"a slice's state is known", ROW_SLICE, state_of_slice, ERR_INPUT},
    {"a class has a size", ROW_CLASS, size_of_class, ERR_INPUT},
    {"a flavor has a class", ROW_FLAVOR, class_of_flavor, ERR_INPUT},
    {"a claim's state is known", ROW_CLAIM, state_of_claim, ERR_INPUT},
    {"a claim has no more slices than fit", ROW_CLAIM, crowd_of_claim, ERR_INPUT},
    {"two VMs have two UUIDs", ROW_VM, uuid_of_vm, ERR_CONFLICT},
    {"two VMs have two claims", ROW_VM, claim_of_vm, ERR_CONFLICT},
    {"a VM's power is known", ROW_VM, power_of_vm, ERR_INPUT},
    {"an erasure never changes", ROW_ERASURE, note_of_erasure, ERR_CONFLICT},
    {"a record's text never changes", ROW_ERASURE, text_of_erasure, ERR_CONFLICT},
    {"a host has one erasure of a seq", ROW_ERASURE, seq_of_erasure, ERR_CONFLICT},
    {"another host counts for itself", ROW_ERASURE, elsewhere_of_erasure, ERR_NONE},
    {"a seq is not zero", ROW_ERASURE, zero_of_erasure, ERR_INPUT},
    {"a request's body never changes", ROW_REQUEST, body_of_request, ERR_CONFLICT},
    {"a request's answer may", ROW_REQUEST, status_of_request, ERR_NONE},
};

static void put_refuses(void **state)
{
    struct fixture *f = *state;
    for (size_t i = 0; i < COUNT(refusals); i++) {
        const enum store_kind kind = refusals[i].kind;
        unsigned char *row = malloc(store_row_size(kind));
        memcpy(row, full_rows[kind], store_row_size(kind));
        begin(f);
        put(f, kind, row);
        refusals[i].change(row);
        struct err err = {0};
        bool done = f->store.put(f->store.self, kind, row, &err);
        if (done != (refusals[i].expect == ERR_NONE) || err.kind != refusals[i].expect)
            fail_msg("%s: got %s '%s', want %s", refusals[i].rule, err_kind_name(err.kind), err.msg,
                     err_kind_name(refusals[i].expect));
        rollback(f);
        free(row);
    }
}

int main(void)
{
    struct CMUnitTest tests[2];
    char names[2][64];
    size_t n = 0;
    for (const struct back_end *back = back_ends(); back->name != NULL; back++, n++) {
        snprintf(names[n], sizeof(names[n]), "%s: put refuses what breaks a rule", back->name);
        tests[n] = (struct CMUnitTest){names[n], put_refuses, back->setup, teardown, NULL};
    }
    return _cmocka_run_group_tests("store rules", tests, n, NULL, NULL);
}
