#include "agent/mail.h"

#include "base/must.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

bool mailbox_open(struct mailbox *box, struct err *err)
{
    const int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0)
        return err_sys(err, errno, "cannot make an eventfd");
    *box = (struct mailbox){.wake_fd = fd};
    box->last = &box->first;
    must(pthread_mutex_init(&box->lock, NULL) == 0);
    return true;
}

struct mail *mail_new(enum mail_kind kind)
{
    struct mail *mail = calloc(1, sizeof(*mail));
    must(mail != NULL);
    mail->kind = kind;
    return mail;
}

void mail_post(struct mailbox *box, struct mail *mail)
{
    const uint64_t one = 1;
    must(pthread_mutex_lock(&box->lock) == 0);
    mail->next = NULL;
    *box->last = mail;
    box->last = &mail->next;
    must(pthread_mutex_unlock(&box->lock) == 0);
    /* A full counter (EAGAIN) wakes the loop just as well. */
    if (write(box->wake_fd, &one, sizeof(one)) < 0)
        must(errno == EAGAIN);
}

struct mail *mail_take(struct mailbox *box)
{
    must(pthread_mutex_lock(&box->lock) == 0);
    struct mail *mail = box->first;
    if (mail != NULL) {
        box->first = mail->next;
        if (box->first == NULL)
            box->last = &box->first;
    }
    must(pthread_mutex_unlock(&box->lock) == 0);
    return mail;
}

void mail_free(struct mail *mail)
{
    if (mail == NULL)
        return;
    free(mail->done.seen);
    if (mail->done.hold > 0)
        close(mail->done.hold);
    free(mail->wants);
    free(mail->vms);
    free(mail);
}
