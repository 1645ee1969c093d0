/* must.h - assertions that stay on in every build.
 *   - must(cond) is for our own bugs; struct err (err.h) is for the world's.
 *   - A failed must() ends the process at once: state on disk is always that of a crash, which every
 *     program here survives by design. */
#ifndef NSMITH_MUST_H
#define NSMITH_MUST_H

#define must(cond) ((cond) ? (void)0 : must_fail(#cond, __FILE__, __LINE__))
#define must_if(a, b) must(!(a) || (b)) /* whenever a, then b */

_Noreturn void must_fail(const char *what, const char *file, int line);

#endif
