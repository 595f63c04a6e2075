// Drives the streams of a Verilated design from files: no VPI and no Python, so the model decides the speed.
//
// Beside the program's working files `NAME.in` (payloads of an input stream, each padded to whole bytes), `NAME.value`
// (a constant input), `NAME.memory` (the first words of a memory, padded alike) and `request` it leaves `NAME.out` (payloads of an output stream) and `report.json`.

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "Vtop.h"
#include "verilated.h"

// Generated: RESET_ACTIVE, and INPUT_STREAMS, OUTPUT_STREAMS, CONSTANTS, STATUSES and MEMORIES, lists of STREAM(name,
// identifier, bits), PORT(name, identifier, bits) and MEMORY(name, identifier, bits, bits of an address).
#include "ports.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "Verilator keeps ports as words of the machine, the files hold bytes, lowest first"
#endif

namespace {

using Bytes = std::vector<unsigned char>;

constexpr uint64_t NONE = ~uint64_t(0);

// One port: the bytes of Verilator's word or words, unused upper bits 0.
struct Port {
    std::string name;
    unsigned char* at;
    unsigned bits;
    size_t bytes() const { return (bits + 7) / 8; }
};

struct Stream {
    std::string name;
    Port payload;
    CData* valid;
    CData* ready;
    Bytes data{};
    uint64_t total = 0;
    uint64_t done = 0;
    uint64_t first = NONE;
    uint64_t last = NONE;
    bool offering = false;

    void transfer(uint64_t cycle) {
        if (first == NONE) first = cycle;
        last = cycle;
        ++done;
    }
};

// A memory of the design that lies here: one address a cycle, and what it had a cycle later.
struct Memory {
    std::string name;
    Port address;
    CData* write;
    Port write_data;
    Port read_data;
    Bytes data{};
    size_t at = 0;
    bool writes = false;
    Bytes written{};

    // What the edge of the clock takes, and what it gives.
    void before() {
        at = 0;
        std::memcpy(&at, address.at, address.bytes());
        at *= read_data.bytes();
        writes = *write;
        if (writes) written.assign(write_data.at, write_data.at + write_data.bytes());
    }
    void after() {
        std::memcpy(read_data.at, data.data() + at, read_data.bytes());
        if (writes) std::memcpy(data.data() + at, written.data(), written.size());
    }
};

// Stalls and junk: splitmix64, whose every seed is a good one.
class Random {
    uint64_t m_state;

public:
    explicit Random(uint64_t seed) : m_state{seed} {}
    uint64_t next() {
        uint64_t z = (m_state += 0x9e3779b97f4a7c15u);
        z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
        z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
        return z ^ (z >> 31);
    }
    // True in `percent` of a hundred cases.
    bool percent(unsigned percent) { return percent && next() % 100 < percent; }
    void fill(const Port& port) {
        for (size_t i = 0; i < port.bytes(); ++i) port.at[i] = next() & 0xff;
        if (port.bits % 8) port.at[port.bytes() - 1] &= (1u << port.bits % 8) - 1;
    }
};

Bytes read(const std::string& path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) {
        std::cerr << "error: cannot read " << path << '\n';
        std::exit(1);
    }
    return Bytes(std::istreambuf_iterator<char>(file), {});
}

void write(const std::string& path, const void* data, size_t size) {
    std::ofstream file(path, std::ios::binary);
    file.write(static_cast<const char*>(data), size);
    file.close();
    if (!file) {
        std::cerr << "error: cannot write " << path << '\n';
        std::exit(1);
    }
}

void write(const std::string& path, const std::string& text) { write(path, text.data(), text.size()); }

std::string number(uint64_t cycle) { return cycle == NONE ? "null" : std::to_string(cycle); }

}  // namespace

int main(int argc, char** argv) {
    VerilatedContext context;
    context.commandArgs(argc, argv);
    Vtop top{&context};

#define STREAM(name, id, bits) \
    {name, {name, reinterpret_cast<unsigned char*>(&top.id##___05Fpayload), bits}, \
     &top.id##___05Fvalid, &top.id##___05Fready},
#define PORT(name, id, bits) {name, reinterpret_cast<unsigned char*>(&top.id), bits},
    std::vector<Stream> inputs{INPUT_STREAMS};
    std::vector<Stream> outputs{OUTPUT_STREAMS};
    const std::vector<Port> constants{CONSTANTS};
    const std::vector<Port> statuses{STATUSES};
#define BYTES(id) reinterpret_cast<unsigned char*>(&top.id)
#define MEMORY(name, id, bits, address_bits) \
    {name, {name, BYTES(id##___05Faddress), address_bits}, &top.id##___05Fwrite, \
     {name, BYTES(id##___05Fwrite_data), bits}, {name, BYTES(id##___05Fread_data), bits}},
    std::vector<Memory> memories{MEMORIES};

    // The request: seed, per cent of cycles in which inputs and outputs stall, cycles without a transfer after which
    // the design hangs, cycles to look for outputs that must not be; then how many payloads each output gives.
    uint64_t seed, patience, quiet;
    unsigned stall_in, stall_out;
    std::ifstream request("request");
    request >> seed >> stall_in >> stall_out >> patience >> quiet;
    uint64_t expected = 0;
    for (Stream& o : outputs) {
        request >> o.total;
        expected += o.total;
        o.data.reserve(o.total * o.payload.bytes());
    }
    if (!request) {
        std::cerr << "error: the request is not complete\n";
        return 1;
    }
    for (Stream& i : inputs) {
        i.data = read(i.name + ".in");
        i.total = i.data.size() / i.payload.bytes();
    }
    for (const Port& port : constants) std::memcpy(port.at, read(port.name + ".value").data(), port.bytes());

    for (Memory& memory : memories) {
        memory.data = read(memory.name + ".memory");
        memory.data.resize(memory.read_data.bytes() << memory.address.bits);
    }

    Random random{seed};
    const auto clock = [&](bool high) {
        if (high)
            for (Memory& memory : memories) memory.before();
        top.CLOCK = high;
        top.eval();
        if (high)
            for (Memory& memory : memories) memory.after();
    };
    top.RESET = RESET_ACTIVE;
    for (int cycle = 0; cycle < 2; ++cycle) {
        clock(false);
        clock(true);
    }
    top.RESET = !RESET_ACTIVE;

    using Clock = std::chrono::steady_clock;
    const auto begin = Clock::now();
    auto told = begin;
    uint64_t cycle = 0, active = 0, done = 0;
    bool surplus = false, complete = false;
    for (;; ++cycle) {
        for (Stream& i : inputs) {
            if (i.offering) continue;
            i.offering = i.done < i.total && !random.percent(stall_in);
            *i.valid = i.offering;
            if (i.offering)
                std::memcpy(i.payload.at, i.data.data() + i.done * i.payload.bytes(), i.payload.bytes());
            else if (stall_in)
                random.fill(i.payload);
        }
        for (Stream& o : outputs) *o.ready = !random.percent(stall_out);
        clock(false);

        bool moved = false;
        complete = done == expected;
        for (Stream& i : inputs) {
            if (i.offering && *i.ready) {
                i.transfer(cycle);
                i.offering = false;
                moved = true;
            }
            complete = complete && i.done == i.total;
        }
        for (Stream& o : outputs) {
            if (!*o.valid || !*o.ready) continue;
            if (o.done == o.total) {
                surplus = true;
                continue;
            }
            o.data.insert(o.data.end(), o.payload.at, o.payload.at + o.payload.bytes());
            o.transfer(cycle);
            ++done;
            moved = true;
        }
        clock(true);
        if (moved) active = cycle;
        if (surplus || cycle - active >= (complete ? quiet : patience)) break;
        if (cycle % 1024 == 0 && Clock::now() - told > std::chrono::milliseconds(100)) {
            told = Clock::now();
            write("progress", std::to_string(done) + " " + std::to_string(expected));
        }
    }
    const std::chrono::duration<double> seconds = Clock::now() - begin;

    clock(false);
    std::string report = "{\"complete\": " + std::string(complete ? "true" : "false") + ", \"surplus\": "
                         + (surplus ? "true" : "false") + ", \"cycles\": " + std::to_string(cycle + 1)
                         + ", \"seconds\": " + std::to_string(seconds.count()) + ", \"streams\": {";
    const char* comma = "";
    for (const auto* streams : {&inputs, &outputs}) {
        for (const Stream& s : *streams) {
            report += comma + ("\"" + s.name) + "\": {\"transfers\": " + std::to_string(s.done)
                      + ", \"first\": " + number(s.first) + ", \"last\": " + number(s.last) + "}";
            comma = ", ";
        }
    }
    report += "}, \"status\": {";
    comma = "";
    for (const Port& port : statuses) {
        report += comma + ("\"" + port.name) + "\": \"";
        for (size_t i = port.bytes(); i-- > 0;) {
            char digits[3];
            std::snprintf(digits, sizeof digits, "%02x", port.at[i]);
            report += digits;
        }
        report += "\"";
        comma = ", ";
    }
    for (const Stream& o : outputs) write(o.name + ".out", o.data.data(), o.data.size());
    write("report.json", report + "}}\n");
    top.final();
    return 0;
}
