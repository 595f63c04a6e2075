// A Verilated board top behind a pseudo-terminal: bytes that are written there come in at the pin `rx`, bit by bit, and
// what the pin `tx` says can be read there.
//
// The first line of output is the terminal's path. On standard input an `r` resets the design, one without a reset pin
// by switching it off and on; the end of that input ends the program, so that it never outlives the process that
// started it. Nothing runs at a board's own speed: cycles are simulated as
// fast as they can be while something moves, and none while nothing does.

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <fcntl.h>
#include <memory>
#include <poll.h>
#include <string>
#include <termios.h>
#include <unistd.h>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

// Generated: DIVISOR, clock cycles of a bit; IDLE, cycles without a bit on the line after which nothing moves; and for a
// design without a reset pin POWER_ON, cycles from power-on until it must listen; for one with an SDRAM STORAGE, bits of
// an address of its columns of 16 bits.
#include "ports.h"

namespace {

constexpr int BITS = 10;              // start bit, data, stop bit
constexpr int BATCH = 8 * DIVISOR;    // cycles between two looks at the files
#ifndef POWER_ON
constexpr int RESET_CYCLES = 4;
#endif

[[noreturn]] void fail(const char* what) {
    std::fprintf(stderr, "error: %s: %s\n", what, std::strerror(errno));
    std::exit(1);
}

// The host's transmitter.
class Transmitter {
    std::deque<unsigned char> m_waiting;
    unsigned m_frame = 1;  // what is left of the frame, the next bit lowest; a 1 alone is the idle line
    int m_left = 0;        // bits of it, the one on the line included
    int m_timer = 0;

public:
    void add(const unsigned char* data, size_t size) { m_waiting.insert(m_waiting.end(), data, data + size); }
    bool busy() const { return m_left || !m_waiting.empty(); }
    bool hungry() const { return m_waiting.empty(); }
    // The line in the next cycle.
    bool next() {
        if (m_timer == 0) {
            if (m_left) {
                --m_left;
                m_frame >>= 1;
            }
            if (!m_left && !m_waiting.empty()) {
                m_frame = 1u << 9 | m_waiting.front() << 1;
                m_waiting.pop_front();
                m_left = BITS;
            }
            m_timer = DIVISOR;
        }
        --m_timer;
        return m_left ? m_frame & 1 : true;
    }
};

// The host's receiver: samples in the middle of each bit.
class Receiver {
    int m_left = 0;
    int m_timer = 0;
    unsigned m_bits = 0;
    bool m_low = false;

public:
    std::string received;
    bool busy() const { return m_left || m_low; }
    void next(bool line) {
        if (m_low) {  // A frame without a stop bit ends when the line is idle.
            m_low = !line;
        } else if (!m_left) {
            if (line) return;
            m_left = BITS;
            m_timer = DIVISOR / 2;
            m_bits = 0;
        } else if (--m_timer == 0) {
            m_timer = DIVISOR;
            m_bits |= unsigned(line) << (BITS - m_left);
            --m_left;
            if (m_left == BITS - 1 && line) {
                m_left = 0;
            } else if (m_left == 0) {
                if (line)
                    received.push_back(static_cast<char>(m_bits >> 1));
                else
                    m_low = true;
            }
        }
    }
};

// A pseudo-terminal without echo and line editing; its other end stays open here too, or it would end with each host.
int terminal() {
    const int master = posix_openpt(O_RDWR | O_NOCTTY);
    if (master < 0 || grantpt(master) || unlockpt(master)) fail("no pseudo-terminal");
    const char* path = ptsname(master);
    const int slave = path ? open(path, O_RDWR | O_NOCTTY) : -1;
    if (slave < 0) fail("no pseudo-terminal");
    termios settings;
    if (tcgetattr(slave, &settings)) fail("no pseudo-terminal");
    cfmakeraw(&settings);
    if (tcsetattr(slave, TCSANOW, &settings)) fail("no pseudo-terminal");
    if (fcntl(master, F_SETFL, fcntl(master, F_GETFL) | O_NONBLOCK)) fail("no pseudo-terminal");
    std::printf("%s\n", path);
    std::fflush(stdout);
    return master;
}

}  // namespace

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    auto top = std::make_unique<Vtop>(&context);
    Transmitter to_board;
    Receiver from_board;

#ifdef STORAGE
    // The cells of the SDRAM, which a reset leaves alone.
    std::vector<uint16_t> storage(size_t(1) << STORAGE);
#endif

    const auto cycle = [&] {
        top->rx = to_board.next();
        top->clk = 0;
        top->eval();
#ifdef STORAGE
        uint16_t& column = storage[top->storage___05Faddress];
        const uint16_t before = column;
        if (top->storage___05Fwrite) column = top->storage___05Fwrite_data;
#endif
        top->clk = 1;
        top->eval();
#ifdef STORAGE
        top->storage___05Fread_data = before;
#endif
        from_board.next(top->tx);
    };
    const auto reset = [&] {
#ifdef POWER_ON
        top.reset();
        top = std::make_unique<Vtop>(&context);
        for (int i = 0; i < POWER_ON; ++i) cycle();
#else
        top->rst = 1;
        for (int i = 0; i < RESET_CYCLES; ++i) cycle();
        top->rst = 0;
#endif
    };
    reset();

    const int master = terminal();
    uint64_t quiet = 0;
    for (;;) {
        pollfd files[] = {{STDIN_FILENO, POLLIN, 0}, {master, POLLIN, 0}};
        if (!to_board.hungry()) files[1].events = 0;
        if (poll(files, 2, quiet > IDLE ? -1 : 0) < 0 && errno != EINTR) fail("poll");
        unsigned char data[4096];
        if (files[0].revents) {
            const ssize_t size = read(STDIN_FILENO, data, 1);
            if (size <= 0) break;
            if (data[0] == 'r') reset();
            quiet = 0;
        }
        if (files[1].revents & POLLIN) {
            const ssize_t size = read(master, data, sizeof data);
            if (size > 0) to_board.add(data, size);
        }
        for (int i = 0; i < BATCH; ++i) cycle();
#ifdef STORAGE
        if (top->broken) {
            std::fprintf(stderr, "error: rule %d of the SDRAM was broken\n", int(top->broken));
            return 1;
        }
#endif
        quiet = to_board.busy() || from_board.busy() || !from_board.received.empty() ? 0 : quiet + BATCH;
        if (!from_board.received.empty()) {
            // What nobody reads is lost, as on any serial line.
            if (write(master, from_board.received.data(), from_board.received.size()) < 0 && errno != EAGAIN)
                fail("the pseudo-terminal");
            from_board.received.clear();
        }
    }
    top->final();
    return 0;
}
