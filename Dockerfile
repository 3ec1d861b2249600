# The service without a database of its own: DATABASE_URL must be given (see docker-compose.yml).

FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json prisma.config.ts LICENSE openapi.yaml ./
COPY prisma ./prisma
COPY scripts ./scripts
COPY bin ./bin
COPY src ./src
RUN node scripts/build.mjs

# The optional packages are the embedded Postgres; prisma and esbuild have done their work in the stage above.
FROM node:24-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json ./
RUN npm ci --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund \
 && npm uninstall prisma esbuild --omit=dev --omit=optional --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080
WORKDIR /app
COPY package.json ./
COPY --from=dependencies /app/node_modules ./node_modules
COPY --from=build /app/dist ./dist
COPY prisma/migrations ./prisma/migrations
COPY scripts/health-check.mjs ./scripts/health-check.mjs
COPY bin ./bin
COPY clients ./clients
# Everything above belongs to root: the service cannot change its own code.
USER node
# Requests, and /metrics.
EXPOSE 8080 9464
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 CMD ["node", "scripts/health-check.mjs"]
CMD ["node", "dist/main.js"]
