/* libmodbus as comparator of the Modbus benchmark: its blocking client and a select loop around its server calls.
 *
 *   modbus_libmodbus client PORT MILLISECONDS     one read of 125 registers after the other; one line of JSON
 *   modbus_libmodbus server                       READY PORT, any number of clients, until standard input ends
 *
 * Built at benchmark time where the development package is installed. An oracle and a yardstick, no part of the product.
 */
#include <errno.h>
#include <modbus.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define REGISTERS 125
#define BACKLOG 512
#define LOOK_EVERY 64
#define TIME_EVERY 16
#define TIMES_MAX (1 << 20)

static unsigned long long nanos(clockid_t id) {
    struct timespec now;
    clock_gettime(id, &now);
    return (unsigned long long)now.tv_sec * 1000000000ULL + (unsigned long long)now.tv_nsec;
}

static int ascending(const void *left, const void *right) {
    unsigned long long one = *(const unsigned long long *)left, other = *(const unsigned long long *)right;
    return (one > other) - (one < other);
}

static int fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, modbus_strerror(errno));
    return 1;
}

static int client(int port, unsigned long long span) {
    static unsigned long long times[TIMES_MAX];
    uint16_t values[REGISTERS];
    unsigned long long reads = 0, timed = 0;
    modbus_t *line = modbus_new_tcp("127.0.0.1", port);
    if (line == NULL || modbus_connect(line) != 0) return fail("connect");
    modbus_set_slave(line, 1);
    unsigned long long wall = nanos(CLOCK_MONOTONIC), cpu = nanos(CLOCK_PROCESS_CPUTIME_ID);
    while (reads % LOOK_EVERY != 0 || nanos(CLOCK_MONOTONIC) < wall + span) {
        unsigned long long started = reads % TIME_EVERY == 0 ? nanos(CLOCK_MONOTONIC) : 0;
        if (modbus_read_registers(line, 0, REGISTERS, values) != REGISTERS) return fail("read");
        if (started != 0 && timed < TIMES_MAX) times[timed++] = nanos(CLOCK_MONOTONIC) - started;
        reads++;
    }
    wall = nanos(CLOCK_MONOTONIC) - wall;
    cpu = nanos(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    qsort(times, timed, sizeof times[0], ascending);
    printf("{\"reads\": %llu, \"wall_ns\": %llu, \"cpu_ns\": %llu, \"p50_ns\": %llu, \"p99_ns\": %llu}\n", reads, wall,
           cpu, times[timed / 2], times[timed * 99 / 100]);
    return 0;
}

static int answer(modbus_t *line, modbus_mapping_t *registers, int socket) {
    uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
    modbus_set_socket(line, socket);
    int length = modbus_receive(line, query);
    if (length < 0) return -1;
    return length == 0 ? 0 : modbus_reply(line, query, length, registers);
}

static int server(void) {
    modbus_t *line = modbus_new_tcp("127.0.0.1", 0);
    modbus_mapping_t *registers = modbus_mapping_new(200, 200, 200, 200);
    int listener = line == NULL || registers == NULL ? -1 : modbus_tcp_listen(line, BACKLOG);
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &size) != 0) return fail("listen");
    printf("READY %d\n", ntohs(address.sin_port));
    fflush(stdout);
    fd_set watched, ready;
    FD_ZERO(&watched);
    FD_SET(STDIN_FILENO, &watched);
    FD_SET(listener, &watched);
    int highest = listener;
    for (;;) {
        ready = watched;
        if (select(highest + 1, &ready, NULL, NULL, NULL) < 0) return fail("select");
        if (FD_ISSET(STDIN_FILENO, &ready)) return 0;
        for (int socket = 1; socket <= highest; socket++) {
            if (!FD_ISSET(socket, &ready)) continue;
            if (socket == listener) {
                int accepted = accept(listener, NULL, NULL);
                if (accepted < 0 || accepted >= FD_SETSIZE) continue;
                FD_SET(accepted, &watched);
                if (accepted > highest) highest = accepted;
            } else if (answer(line, registers, socket) < 0) {
                close(socket);
                FD_CLR(socket, &watched);
            }
        }
    }
}

int main(int count, char **words) {
    if (count == 4 && strcmp(words[1], "client") == 0)
        return client(atoi(words[2]), strtoull(words[3], NULL, 10) * 1000000ULL);
    if (count == 2 && strcmp(words[1], "server") == 0) return server();
    fprintf(stderr, "expected: client PORT MILLISECONDS, or server\n");
    return 2;
}
