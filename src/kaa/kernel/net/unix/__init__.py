# SPDX-License-Identifier: Apache-2.0
"""AF_UNIX sockets: unix(7).

Who owns whom: a socket owns the `Inbox` it reads from and the one it writes to; nobody owns a socket but its
descriptors and the messages that carry it. So two connected sockets form no ring. A socket that is sent to where
only itself could receive it does: Linux finds those by a collector; here they are counted and bounded
(`message.in_flight`, ETOOMANYREFS), and stay until the machine stops."""
