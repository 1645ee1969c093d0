#include "core/slice_step.h"

#include "base/rng.h"

#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static const struct claim_id alice = {"alice"}, bob = {"bob"};
static const struct erasure_id erasure_7 = {"erasure-7"};

/* ---- one slice in each state ---------------------------------------------------------------------------------- */

static struct slice slice_in(enum slice_state state)
{
    struct slice slice = {.id = {"s-1"}, .state = state, .generation = 5, .attached_seq = 20, .erased_seq = 10};
    switch (state) {
    case SLICE_ABSENT:
    case SLICE_BLANK:
        slice.attached_seq = slice.erased_seq = 0;
        break;
    case SLICE_CLAIMED:
        slice.owner = alice;
        slice.erased_seq = 30;
        break;
    case SLICE_FREE:
        slice.erased_seq = 30;
        break;
    case SLICE_ATTACHED:
        slice.owner = alice;
        break;
    case SLICE_QUARANTINED:
        snprintf(slice.why, sizeof(slice.why), "an old reason");
        break;
    case SLICE_ERASING:
    case SLICE_VERIFYING:
    case SLICE_DIRTY:
    case SLICE_STATE_COUNT:
        break;
    }
    return slice;
}

static struct slice_event event_of(enum slice_event_kind kind)
{
    return (struct slice_event){
        .kind = kind, .generation = 6, .seq = 40, .owner = &bob, .erasure = &erasure_7, .why = "a new reason"};
}

/* ---- the edges ------------------------------------------------------------------------------------------------ */

/* From state (row) by event (column) to state; '.' is no edge. Letters: _ absent, b blank, e erasing, v verifying,
 * f free, c claimed, a attached, d dirty, q quarantined. */
static const char letters[] = "_bevfcadq";
static const char *const picture[SLICE_STATE_COUNT] = {
    [SLICE_ABSENT] = "b..........",      /* made */
    [SLICE_BLANK] = ".e..q...q..",       /* erase, unproven, lost */
    [SLICE_ERASING] = ".ev.q...q..",     /* erase again, erased, unproven, lost */
    [SLICE_VERIFYING] = ".e.fq...q..",   /* erase again, verified, unproven, lost */
    [SLICE_FREE] = ".....c.fq..",        /* claim, release, lost */
    [SLICE_CLAIMED] = "......adq..",     /* handed out, release, lost */
    [SLICE_ATTACHED] = ".......dq..",    /* release, lost */
    [SLICE_DIRTY] = ".e..q...q..",       /* erase, unproven, lost */
    [SLICE_QUARANTINED] = ".......qqd_", /* release, lost, retry, retired */
};

static void test_every_edge(void **state)
{
    (void)state;
    for (unsigned from = 0; from < SLICE_STATE_COUNT; from++)
        for (unsigned kind = 0; kind < SLICE_EVENT_COUNT; kind++) {
            struct slice slice = slice_in((enum slice_state)from);
            const struct slice before = slice;
            const struct slice_event event = event_of((enum slice_event_kind)kind);
            const enum slice_result result = slice_step(&slice, &event);
            const char want = picture[from][kind], got = result == SLICE_CHANGED ? letters[slice.state] : '.';
            if (got != want)
                fail_msg("%s by %s: got %c, want %c", slice_state_word((enum slice_state)from),
                         slice_event_word((enum slice_event_kind)kind), got, want);
            assert_int_equal(result == SLICE_NO_EDGE, want == '.');
            if (want == '.')
                assert_memory_equal(&slice, &before, sizeof(slice));
            else
                assert_true(slice.changed);
        }
}

/* ---- what an event leaves behind -------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    enum slice_state from;
    enum slice_event_kind kind;
    bool owned; /* in quarantine: still alice's */
    uint64_t generation, attached_seq, erased_seq;
    const char *owner, *why, *erasure;
} effects[] = {
    {"made: nothing is known of a new namespace", SLICE_ABSENT, SLICE_MADE, false, 5, 0, 0, "", "", ""},
    {"erase keeps the numbers", SLICE_DIRTY, SLICE_ERASE, false, 5, 20, 10, "", "", "old"},
    {"erased keeps the numbers", SLICE_ERASING, SLICE_ERASED, false, 5, 20, 10, "", "", "old"},
    {"verified records seq and erasure", SLICE_VERIFYING, SLICE_VERIFIED, false, 5, 20, 40, "", "", "erasure-7"},
    {"unproven says why", SLICE_VERIFYING, SLICE_UNPROVEN, false, 5, 20, 10, "", "a new reason", "old"},
    {"claim sets owner and generation", SLICE_FREE, SLICE_CLAIM, false, 6, 20, 30, "bob", "", "old"},
    {"handed out records seq and keeps the owner", SLICE_CLAIMED, SLICE_HANDED_OUT, false, 5, 40, 30, "alice", "",
     "old"},
    {"release of a claimed slice", SLICE_CLAIMED, SLICE_RELEASE, false, 6, 20, 30, "", "", "old"},
    {"release of an attached slice", SLICE_ATTACHED, SLICE_RELEASE, false, 6, 20, 10, "", "", "old"},
    {"release of a free slice: only the generation moves", SLICE_FREE, SLICE_RELEASE, false, 6, 20, 30, "", "", "old"},
    {"release in quarantine keeps why", SLICE_QUARANTINED, SLICE_RELEASE, true, 6, 20, 10, "", "an old reason", "old"},
    {"lost keeps owner and generation", SLICE_ATTACHED, SLICE_LOST, false, 5, 20, 10, "alice", "a new reason", "old"},
    {"lost while claimed keeps owner and generation", SLICE_CLAIMED, SLICE_LOST, false, 5, 20, 30, "alice",
     "a new reason", "old"},
    {"lost while in quarantine: the newer reason", SLICE_QUARANTINED, SLICE_LOST, true, 5, 20, 10, "alice",
     "a new reason", "old"},
    {"retry forgets why", SLICE_QUARANTINED, SLICE_RETRY, false, 5, 20, 10, "", "", "old"},
    {"retry of an owned slice changes the owner: with its generation", SLICE_QUARANTINED, SLICE_RETRY, true, 6, 20, 10,
     "", "", "old"},
    {"retired forgets owner and why", SLICE_QUARANTINED, SLICE_RETIRED, true, 5, 20, 10, "", "", "old"},
};

static void test_effects(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(effects) / sizeof(effects[0]); i++) {
        struct slice slice = slice_in(effects[i].from);
        slice.progress_percent = 77;
        slice.erasure = (struct erasure_id){"old"};
        if (effects[i].owned)
            slice.owner = alice;
        const struct slice_event event = event_of(effects[i].kind);
        if (slice_step(&slice, &event) != SLICE_CHANGED)
            fail_msg("%s: not changed", effects[i].rule);
        if (slice.generation != effects[i].generation || slice.attached_seq != effects[i].attached_seq ||
            slice.erased_seq != effects[i].erased_seq)
            fail_msg("%s: got generation %" PRIu64 " attached %" PRIu64 " erased %" PRIu64 ", want %" PRIu64 " %" PRIu64
                     " %" PRIu64,
                     effects[i].rule, slice.generation, slice.attached_seq, slice.erased_seq, effects[i].generation,
                     effects[i].attached_seq, effects[i].erased_seq);
        if (strcmp(slice.owner.v, effects[i].owner) != 0 || strcmp(slice.why, effects[i].why) != 0 ||
            strcmp(slice.erasure.v, effects[i].erasure) != 0)
            fail_msg("%s: got owner '%s' why '%s' erasure '%s', want '%s' '%s' '%s'", effects[i].rule, slice.owner.v,
                     slice.why, slice.erasure.v, effects[i].owner, effects[i].why, effects[i].erasure);
        assert_int_equal(slice.progress_percent, 0);
        assert_string_equal(slice.id.v, "s-1");
    }
}

static void test_details(void **state)
{
    (void)state;
    struct slice slice = slice_in(SLICE_ABSENT); /* made again: numbers of an earlier life go */
    slice.attached_seq = 20;
    slice.erased_seq = 30;
    assert_int_equal(slice_step(&slice, &(struct slice_event){.kind = SLICE_MADE}), SLICE_CHANGED);
    assert_int_equal(slice.attached_seq + slice.erased_seq, 0);

    slice = slice_in(SLICE_VERIFYING); /* the certificate of an earlier erase is none of this one */
    slice.erasure = erasure_7;
    assert_int_equal(slice_step(&slice, &(struct slice_event){.kind = SLICE_VERIFIED, .seq = 40}), SLICE_CHANGED);
    assert_string_equal(slice.erasure.v, "");

    char longest[2 * WHY_MAX];
    memset(longest, 'x', sizeof(longest));
    longest[sizeof(longest) - 1] = '\0';
    slice = slice_in(SLICE_DIRTY);
    assert_int_equal(slice_step(&slice, &(struct slice_event){.kind = SLICE_LOST, .why = longest}), SLICE_CHANGED);
    assert_int_equal(strlen(slice.why), WHY_MAX - 1);

    slice = slice_in(SLICE_DIRTY); /* "waiting for" goes when it moves on */
    snprintf(slice.why, sizeof(slice.why), "waiting");
    assert_int_equal(slice_step(&slice, &(struct slice_event){.kind = SLICE_ERASE}), SLICE_CHANGED);
    assert_string_equal(slice.why, "");
}

/* ---- generations ---------------------------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    enum slice_state from;
    enum slice_event_kind kind;
    bool owned;
    uint64_t generation;
    enum slice_result expect;
} fences[] = {
    {"claim: a lower generation is stale", SLICE_FREE, SLICE_CLAIM, false, 4, SLICE_STALE},
    {"claim: the same generation is stale", SLICE_FREE, SLICE_CLAIM, false, 5, SLICE_STALE},
    {"claim: a higher one by far is fine", SLICE_FREE, SLICE_CLAIM, false, 500, SLICE_CHANGED},
    {"release of claimed: the same generation is stale", SLICE_CLAIMED, SLICE_RELEASE, false, 5, SLICE_STALE},
    {"release of attached: the same generation is stale", SLICE_ATTACHED, SLICE_RELEASE, false, 5, SLICE_STALE},
    {"release of attached: a lower generation is stale", SLICE_ATTACHED, SLICE_RELEASE, false, 0, SLICE_STALE},
    {"release of free: the same generation is stale", SLICE_FREE, SLICE_RELEASE, false, 5, SLICE_STALE},
    {"release in quarantine: the same generation is stale", SLICE_QUARANTINED, SLICE_RELEASE, true, 5, SLICE_STALE},
    {"retry of an owned slice: the same generation is stale", SLICE_QUARANTINED, SLICE_RETRY, true, 5, SLICE_STALE},
    {"retry of nobody's slice needs none", SLICE_QUARANTINED, SLICE_RETRY, false, 0, SLICE_CHANGED},
    {"retired needs none: it is a fact", SLICE_QUARANTINED, SLICE_RETIRED, true, 0, SLICE_CHANGED},
    {"lost needs none", SLICE_ATTACHED, SLICE_LOST, false, 0, SLICE_CHANGED},
    {"handed out needs none", SLICE_CLAIMED, SLICE_HANDED_OUT, false, 0, SLICE_CHANGED},
    {"no edge comes before stale", SLICE_DIRTY, SLICE_RELEASE, false, 0, SLICE_NO_EDGE},
};

static void test_fences(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(fences) / sizeof(fences[0]); i++) {
        struct slice slice = slice_in(fences[i].from);
        if (fences[i].owned)
            slice.owner = alice;
        const struct slice before = slice;
        struct slice_event event = event_of(fences[i].kind);
        event.generation = fences[i].generation;
        const enum slice_result got = slice_step(&slice, &event);
        if (got != fences[i].expect)
            fail_msg("%s: got %d, want %d", fences[i].rule, (int)got, (int)fences[i].expect);
        if (got != SLICE_CHANGED)
            assert_memory_equal(&slice, &before, sizeof(slice));
        assert_true(slice.generation >= before.generation);
    }
}

/* ---- what must be true at any time ------------------------------------------------------------------------------ */

static const struct {
    const char *rule; /* empty: nothing is broken */
    struct slice slice;
} broken[] = {
    {"a slice is in a state that exists", {.state = SLICE_STATE_COUNT}},
    {"a quarantined slice says why", {.state = SLICE_QUARANTINED}},
    {"a claimed or attached slice has an owner", {.state = SLICE_CLAIMED, .erased_seq = 1}},
    {"a claimed or attached slice has an owner", {.state = SLICE_ATTACHED, .erased_seq = 1, .attached_seq = 2}},
    {"only a claimed, attached or quarantined slice has an owner",
     {.state = SLICE_FREE, .owner = {"x"}, .erased_seq = 1}},
    {"only a claimed, attached or quarantined slice has an owner", {.state = SLICE_DIRTY, .owner = {"x"}}},
    {"only a claimed, attached or quarantined slice has an owner", {.state = SLICE_ABSENT, .owner = {"x"}}},
    {"an owned slice has a generation", {.state = SLICE_CLAIMED, .owner = {"x"}, .erased_seq = 1}},
    {"a blank slice was never erased nor handed out", {.state = SLICE_BLANK, .erased_seq = 1}},
    {"a blank slice was never erased nor handed out", {.state = SLICE_BLANK, .attached_seq = 1}},
    {"a free or claimed slice was erased after it was last handed out", {.state = SLICE_FREE}},
    {"a free or claimed slice was erased after it was last handed out",
     {.state = SLICE_FREE, .erased_seq = 7, .attached_seq = 7}},
    {"a free or claimed slice was erased after it was last handed out",
     {.state = SLICE_CLAIMED, .owner = {"x"}, .generation = 1, .erased_seq = 6, .attached_seq = 7}},
    {"an attached slice was handed out after it was last erased",
     {.state = SLICE_ATTACHED, .owner = {"x"}, .generation = 1, .erased_seq = 7, .attached_seq = 7}},
    {"an attached slice was handed out after it was last erased",
     {.state = SLICE_ATTACHED, .owner = {"x"}, .generation = 1, .erased_seq = 0, .attached_seq = 7}},
    {"", {.state = SLICE_ABSENT}},
    {"", {.state = SLICE_BLANK}},
    {"", {.state = SLICE_DIRTY}},
    {"", {.state = SLICE_FREE, .erased_seq = 1}},
    {"", {.state = SLICE_QUARANTINED, .why = "x", .owner = {"x"}, .generation = 1}},
    {"", {.state = SLICE_ATTACHED, .owner = {"x"}, .generation = 1, .erased_seq = 6, .attached_seq = 7}},
};

static void test_broken(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        const char *got = slice_broken(&broken[i].slice);
        if (strcmp(got == NULL ? "" : got, broken[i].rule) != 0)
            fail_msg("row %zu: got '%s', want '%s'", i, got == NULL ? "" : got, broken[i].rule);
    }
    for (unsigned s = 0; s < SLICE_STATE_COUNT; s++) {
        const struct slice slice = slice_in((enum slice_state)s);
        assert_null(slice_broken(&slice));
    }
}

/* ---- bugs of the caller end the process -------------------------------------------------------------------------- */

static const struct {
    const char *rule;
    enum slice_state from;
    struct slice_event event;
    uint64_t erased_seq; /* 0: as slice_in() has it */
} bugs[] = {
    {"a claim without an owner", SLICE_FREE, {.kind = SLICE_CLAIM, .generation = 6}, 0},
    {"a claim for nobody", SLICE_FREE, {.kind = SLICE_CLAIM, .generation = 6, .owner = &(struct claim_id){""}}, 0},
    {"unproven without a reason", SLICE_VERIFYING, {.kind = SLICE_UNPROVEN}, 0},
    {"lost with an empty reason", SLICE_FREE, {.kind = SLICE_LOST, .why = ""}, 0},
    {"verified, and not after the last hand-out", SLICE_VERIFYING, {.kind = SLICE_VERIFIED, .seq = 20}, 0},
    {"verified, and not after the last erase", SLICE_VERIFYING, {.kind = SLICE_VERIFIED, .seq = 25}, 30},
    {"handed out, and not after the last erase", SLICE_CLAIMED, {.kind = SLICE_HANDED_OUT, .seq = 30}, 0},
    {"handed out without seq", SLICE_CLAIMED, {.kind = SLICE_HANDED_OUT}, 0},
    {"an event that does not exist", SLICE_FREE, {.kind = SLICE_EVENT_COUNT}, 0},
    {"a state that does not exist", SLICE_STATE_COUNT, {.kind = SLICE_LOST, .why = "x"}, 0},
};

static void test_bugs_end_the_process(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(bugs) / sizeof(bugs[0]); i++) {
        const pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            signal(SIGABRT, SIG_DFL);
            dup2(open("/dev/null", O_WRONLY | O_CLOEXEC), STDERR_FILENO);
            struct slice slice = slice_in(bugs[i].from);
            if (bugs[i].erased_seq != 0)
                slice.erased_seq = bugs[i].erased_seq;
            slice_step(&slice, &bugs[i].event);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
            fail_msg("%s: went on", bugs[i].rule);
    }
}

/* ---- all sequences ---------------------------------------------------------------------------------------------- */

enum { DEPTH = 6 };

/* What a slice went through since it was last in somebody's hands, written down by the test, not by the code. */
struct history {
    bool erased_after_use; /* the drive said done, and nobody has held it since */
    bool verified_after_use;
    bool in_quarantine;
    uint64_t generation;
};

static void check_step(const struct slice *before, const struct slice *after, enum slice_event_kind kind,
                       struct history *history)
{
    assert_null(slice_broken(after));
    assert_true(after->generation >= history->generation);
    if (strcmp(before->owner.v, after->owner.v) != 0 && kind != SLICE_RETIRED)
        assert_true(after->generation > before->generation); /* each change of owner */
    history->generation = after->generation;
    if (kind == SLICE_MADE || kind == SLICE_HANDED_OUT || kind == SLICE_RETRY || kind == SLICE_ERASE)
        history->erased_after_use = history->verified_after_use = false;
    if (kind == SLICE_RELEASE && before->state != SLICE_FREE)
        history->erased_after_use = history->verified_after_use = false;
    if (kind == SLICE_ERASED)
        history->erased_after_use = true;
    if (kind == SLICE_VERIFIED)
        history->verified_after_use = history->erased_after_use;
    if (after->state == SLICE_FREE && before->state != SLICE_FREE)
        assert_true(before->state == SLICE_VERIFYING && kind == SLICE_VERIFIED);
    if (after->state == SLICE_FREE || after->state == SLICE_CLAIMED)
        assert_true(history->verified_after_use);
    if (history->in_quarantine && after->state != SLICE_QUARANTINED)
        assert_true(kind == SLICE_RETRY || kind == SLICE_RETIRED);
    history->in_quarantine = after->state == SLICE_QUARANTINED;
}

static void walk(const struct slice *slice, const struct history *history, unsigned depth, uint64_t *steps)
{
    if (depth == 0)
        return;
    for (unsigned kind = 0; kind < SLICE_EVENT_COUNT; kind++)
        for (unsigned newer = 0; newer < 2; newer++) {
            struct slice next = *slice;
            struct history after = *history;
            struct slice_event event = event_of((enum slice_event_kind)kind);
            event.generation = slice->generation + newer;
            event.seq = 1 + (slice->attached_seq > slice->erased_seq ? slice->attached_seq : slice->erased_seq);
            const enum slice_result result = slice_step(&next, &event);
            (*steps)++;
            if (result != SLICE_CHANGED) {
                assert_memory_equal(&next, slice, sizeof(next));
                continue; /* the same slice again: its sequences are walked anyway */
            }
            check_step(slice, &next, event.kind, &after);
            walk(&next, &after, depth - 1, steps);
        }
}

static void test_all_sequences(void **state)
{
    (void)state;
    uint64_t steps = 0;
    for (unsigned s = 0; s < SLICE_STATE_COUNT; s++) {
        struct slice slice = slice_in((enum slice_state)s);
        const bool clean = s == SLICE_FREE || s == SLICE_CLAIMED;
        const struct history history = {.erased_after_use = clean || s == SLICE_VERIFYING,
                                        .verified_after_use = clean,
                                        .in_quarantine = s == SLICE_QUARANTINED,
                                        .generation = slice.generation};
        walk(&slice, &history, DEPTH, &steps);
        if (s == SLICE_QUARANTINED) {
            slice.owner = alice;
            walk(&slice, &history, DEPTH, &steps);
        }
    }
    assert_true(steps > 10000);
}

/* Long random lives: the same checks, and every state is reached. */
static void test_long_lives(void **state)
{
    (void)state;
    unsigned reached[SLICE_STATE_COUNT] = {0};
    struct rng rng = {.state = 1};
    for (unsigned life = 0; life < 200; life++) {
        struct slice slice = slice_in(SLICE_ABSENT);
        struct history history = {.generation = slice.generation};
        for (unsigned step = 0; step < 500; step++) {
            struct slice_event event = event_of((enum slice_event_kind)rng_below(&rng, SLICE_EVENT_COUNT));
            event.generation = slice.generation + rng_below(&rng, 3);
            event.seq = 1 + slice.attached_seq + slice.erased_seq;
            const struct slice before = slice;
            if (slice_step(&slice, &event) == SLICE_CHANGED)
                check_step(&before, &slice, event.kind, &history);
            reached[slice.state]++;
        }
    }
    for (unsigned s = 0; s < SLICE_STATE_COUNT; s++)
        if (reached[s] == 0)
            fail_msg("%s was never reached", slice_state_word((enum slice_state)s));
}

static void test_words(void **state)
{
    (void)state;
    for (unsigned a = 0; a < SLICE_EVENT_COUNT; a++) {
        assert_true(slice_event_word((enum slice_event_kind)a)[0] != '\0');
        for (unsigned b = 0; b < a; b++)
            assert_string_not_equal(slice_event_word((enum slice_event_kind)a),
                                    slice_event_word((enum slice_event_kind)b));
    }
    assert_string_equal(slice_event_word(SLICE_HANDED_OUT), "handed out");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_edge),    cmocka_unit_test(test_effects),
        cmocka_unit_test(test_details),       cmocka_unit_test(test_fences),
        cmocka_unit_test(test_broken),        cmocka_unit_test(test_bugs_end_the_process),
        cmocka_unit_test(test_all_sequences), cmocka_unit_test(test_long_lives),
        cmocka_unit_test(test_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
