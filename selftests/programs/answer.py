# SPDX-License-Identifier: GPL-2.0
"""An answer of an HTTP/1.1 server that is being read, compared with what it should be."""

END_OF_HEAD = b"\r\n\r\n"


class Answer:
    """One that has to have that status and that content, of which `got` bytes have come."""

    def __init__(self, content, status=200):
        self.content = content
        self.begin = b"HTTP/1.1 %d " % status
        self.head = b""
        self.got = 0

    def take(self, data):
        """Takes in what was received; returns whether that was all. Raises ValueError if it is not
        what it should be, as when the stream has ended."""
        if not data:
            raise ValueError("the end of the stream")
        if not self.head.endswith(END_OF_HEAD):
            head, end, data = (self.head + data).partition(END_OF_HEAD)
            self.head = head + end
            if not end:
                return False
            self.check_head()
        if data != self.content[self.got:self.got + len(data)]:
            raise ValueError(f"wrong bytes between {self.got} and {self.got + len(data)}")
        self.got += len(data)
        return self.got == len(self.content)

    def check_head(self):
        """The status and the length are what they should be."""
        lines = self.head.lower().split(b"\r\n")
        if not self.head.startswith(self.begin) \
                or b"content-length: %d" % len(self.content) not in lines:
            raise ValueError(f"answered {self.head!r}")
