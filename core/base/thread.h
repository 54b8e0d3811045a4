/* Starting a thread that leaves signals to the program. */
#ifndef SONDE_CORE_BASE_THREAD_H
#define SONDE_CORE_BASE_THREAD_H

#include <pthread.h>

/* pthread_create with every signal blocked in the new thread: signals belong to the thread that
 * runs the program. Faults (SIGSEGV and its like) belong to the thread that makes them and stay
 * unblocked, since blocked they would kill past any handler. Returns 0 or an errno value. */
int sonde_thread_start(pthread_t *thread, void *(*run)(void *arg), void *arg);

#endif
