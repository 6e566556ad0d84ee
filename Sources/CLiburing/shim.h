#pragma once

// Before liburing, which asks for X/Open names: they change the fields of types (fd_set) that Swift's own modules have without them, and
// Clang refuses two definitions of one type in one compilation. The C library hears of such wishes once only.
#include <features.h>

// swift-system's own C module includes the kernel's <linux/io_uring.h>, whose submission entry differs in the type of one field from
// the copy that liburing ships; Clang refuses two definitions of one name in one compilation. The layout is the same, so this
// module's entry gets a name of its own.
#define io_uring_sqe aerostat_io_uring_sqe
#include <liburing.h>
#include <linux/falloc.h>
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
static const unsigned int aerostat_msg_nosignal = MSG_NOSIGNAL;
static const unsigned int aerostat_msg_dontwait = MSG_DONTWAIT;
static const int aerostat_punch_hole = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
