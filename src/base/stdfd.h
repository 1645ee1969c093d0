/* stdfd.h - the descriptors 0 to 2 are there.
 *   - A program that was started without one of them would get its number for the next file that it opens, and write
 *     messages and data into that: a socket, a database, a drive. Call it first in main().
 *   - What is missing reads as empty, and fails when it is written to. */
#ifndef NSMITH_STDFD_H
#define NSMITH_STDFD_H

#include <stdbool.h>

bool stdfd_fill(void); /* false: they cannot be filled; end at once */

#endif
