/* Lets SQLite's allocations and its calls of the operating system fail too. */
#ifndef SONDE_TESTS_FAULT_FAULT_SQLITE_H
#define SONDE_TESTS_FAULT_FAULT_SQLITE_H

/* Before anything else of SQLite is called. */
void fault_sqlite_install(void);

#endif
