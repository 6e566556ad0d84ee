#pragma once

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <liburing.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <poll.h>

// liburing 2.3, the oldest supported, may lack names of newer kernels; the kernel itself is probed at run time.
#ifndef IORING_SETUP_SINGLE_ISSUER
#define IORING_SETUP_SINGLE_ISSUER (1U << 12)
#endif
#ifndef IORING_SETUP_DEFER_TASKRUN
#define IORING_SETUP_DEFER_TASKRUN (1U << 13)
#endif

static const unsigned int aerostat_setup_single_issuer = IORING_SETUP_SINGLE_ISSUER;
static const unsigned int aerostat_setup_defer_taskrun = IORING_SETUP_DEFER_TASKRUN;
