// The Keras script's training in C as anyone would write it: 10-32-16-1, relu relu sigmoid, binary cross-entropy,
// Adam, batches of 10 out of 1000 shuffled rows. Plain loops; the compiler vectorises what it can.
//
//     plain DATA EPOCHS REPEATS
//
// DATA holds raw float32: x[1000][10], y[1000], w1[10][32], b1[32], w2[32][16], b2[16], w3[16][1], b3[1].
// Prints JSON: loss and accuracy of the first and last epoch, and the seconds per epoch of each repeat.
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { ROWS = 1000, BATCH = 10, IN = 10, H1 = 32, H2 = 16 };

typedef struct {
    float w1[IN * H1], b1[H1];
    float w2[H1 * H2], b2[H2];
    float w3[H2], b3[1];
} Parameters;

enum { COUNT = sizeof(Parameters) / sizeof(float) };

typedef struct {
    double loss;
    int correct;
} Metrics;

static float x[ROWS][IN], y[ROWS];
static Parameters p, gradient, moment1, moment2;
static int order[ROWS];

static void read_data(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file || fread(x, sizeof x, 1, file) != 1 || fread(y, sizeof y, 1, file) != 1 ||
        fread(&p, sizeof p, 1, file) != 1) {
        fprintf(stderr, "cannot read %s\n", path);
        exit(1);
    }
    fclose(file);
}

static void shuffle(void) {
    static uint64_t state = 88172645463325252u;
    for (int i = ROWS - 1; i > 0; i--) {
        state ^= state << 13, state ^= state >> 7, state ^= state << 17;
        int j = (int)((state >> 32) * (uint64_t)(i + 1) >> 32);
        int swap = order[i];
        order[i] = order[j], order[j] = swap;
    }
}

// z = x w + b
static void forward(int inputs, int outputs, const float *restrict in, const float *restrict w,
                    const float *restrict b, float *restrict z) {
    for (int r = 0; r < BATCH; r++) {
        for (int j = 0; j < outputs; j++) z[r * outputs + j] = b[j];
        for (int i = 0; i < inputs; i++)
            for (int j = 0; j < outputs; j++) z[r * outputs + j] += in[r * inputs + i] * w[i * outputs + j];
    }
}

static void relu(int count, float *a) {
    for (int i = 0; i < count; i++) a[i] = a[i] > 0 ? a[i] : 0;
}

// From d, the gradient of z, those of w and b.
static void weight_gradient(int inputs, int outputs, const float *restrict in, const float *restrict d,
                            float *restrict dw, float *restrict db) {
    for (int r = 0; r < BATCH; r++) {
        for (int j = 0; j < outputs; j++) db[j] += d[r * outputs + j];
        for (int i = 0; i < inputs; i++)
            for (int j = 0; j < outputs; j++) dw[i * outputs + j] += in[r * inputs + i] * d[r * outputs + j];
    }
}

// From d, the gradient of z, that of the relu's input in the layer before, whose output is a.
static void input_gradient(int inputs, int outputs, const float *restrict d, const float *restrict w,
                           const float *restrict a, float *restrict din) {
    for (int r = 0; r < BATCH; r++)
        for (int i = 0; i < inputs; i++) {
            float sum = 0;
            for (int j = 0; j < outputs; j++) sum += d[r * outputs + j] * w[i * outputs + j];
            din[r * inputs + i] = a[r * inputs + i] > 0 ? sum : 0;
        }
}

static void batch_gradient(const float *in, const float *labels, Metrics *metrics) {
    static float a1[BATCH * H1], a2[BATCH * H2], z3[BATCH], d1[BATCH * H1], d2[BATCH * H2], d3[BATCH];
    forward(IN, H1, in, p.w1, p.b1, a1);
    relu(BATCH * H1, a1);
    forward(H1, H2, a1, p.w2, p.b2, a2);
    relu(BATCH * H2, a2);
    forward(H2, 1, a2, p.w3, p.b3, z3);
    for (int r = 0; r < BATCH; r++) {
        float z = z3[r], s = 1 / (1 + expf(-z));
        metrics->loss += fmaxf(z, 0) - z * labels[r] + log1pf(expf(-fabsf(z)));
        metrics->correct += (s > 0.5f) == (labels[r] > 0.5f);
        d3[r] = (s - labels[r]) / BATCH;
    }
    weight_gradient(H2, 1, a2, d3, gradient.w3, gradient.b3);
    input_gradient(H2, 1, d3, p.w3, a2, d2);
    weight_gradient(H1, H2, a1, d2, gradient.w2, gradient.b2);
    input_gradient(H1, H2, d2, p.w2, a1, d1);
    weight_gradient(IN, H1, in, d1, gradient.w1, gradient.b1);
}

static void adam(int step) {
    const float rate = 0.01f, beta1 = 0.9f, beta2 = 0.999f, epsilon = 1e-7f;
    float alpha = rate * sqrtf(1 - powf(beta2, step)) / (1 - powf(beta1, step));
    float *value = (float *)&p, *g = (float *)&gradient, *m = (float *)&moment1, *v = (float *)&moment2;
    for (int i = 0; i < COUNT; i++) {
        m[i] += (g[i] - m[i]) * (1 - beta1);
        v[i] += (g[i] * g[i] - v[i]) * (1 - beta2);
        value[i] -= alpha * m[i] / (sqrtf(v[i]) + epsilon);
        g[i] = 0;
    }
}

static Metrics epoch(void) {
    static int step = 0;
    static float in[BATCH * IN], labels[BATCH];
    Metrics metrics = {0, 0};
    shuffle();
    for (int start = 0; start < ROWS; start += BATCH) {
        for (int r = 0; r < BATCH; r++) {
            labels[r] = y[order[start + r]];
            for (int i = 0; i < IN; i++) in[r * IN + i] = x[order[start + r]][i];
        }
        batch_gradient(in, labels, &metrics);
        adam(++step);
    }
    return metrics;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}

int main(int argc, char **argv) {
    if (argc != 4) return fprintf(stderr, "usage: %s DATA EPOCHS REPEATS\n", argv[0]), 2;
    read_data(argv[1]);
    int epochs = atoi(argv[2]), repeats = atoi(argv[3]);
    for (int i = 0; i < ROWS; i++) order[i] = i;

    Metrics first = epoch(), last = first;
    printf("{\"epoch_seconds\": [");
    for (int r = 0; r < repeats; r++) {
        double start = now();
        for (int e = 0; e < epochs; e++) last = epoch();
        printf("%s%.9g", r ? ", " : "", (now() - start) / epochs);
    }
    printf("], \"loss\": [%.6g, %.6g], \"accuracy\": [%.4g, %.4g]}\n", first.loss / ROWS, last.loss / ROWS,
           (double)first.correct / ROWS, (double)last.correct / ROWS);
}
