import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { PrismaPg } from "@prisma/adapter-pg";
import {
  bindMigrationAwareSqlAdapterFactory,
  ColumnTypeEnum,
  type SqlDriverAdapter,
} from "@prisma/driver-adapter-utils";
import * as bindings from "@prisma/schema-engine-wasm/schema_engine_bg";

declare global {
  // Neither the `es` libraries nor @types/node 20 declare it as a value; `dom` would bring a browser's globals along.
  var WebAssembly: {
    compile(bytes: Uint8Array): Promise<object>;
    instantiate(module: object, imports: object): Promise<{ exports: Record<string, unknown> }>;
  };
}

// Once in a process: the bindings keep the instance in a module variable.
const ready = instantiate();

/** Prisma's schema engine, as its command line runs it for a driver adapter, on one database. */
export async function openSchemaEngine(url: string): Promise<bindings.SchemaEngine> {
  await ready;
  const factory = new PrismaPg(url);
  const adapter = bindMigrationAwareSqlAdapterFactory({
    provider: factory.provider,
    adapterName: factory.adapterName,
    connect: async () => readingConstraintTypes(await factory.connect()),
    connectToShadowDb: async () => readingConstraintTypes(await factory.connectToShadowDb()),
  });
  return bindings.SchemaEngine.new({ datamodels: undefined }, () => undefined, adapter);
}

/** What the engine reads from pg_constraint, as it writes it, and the name it knows the column by. */
const charColumns = new Map([
  ["constraint_type", "constr.contype"],
  ["confdeltype", "con.confdeltype"],
  ["confupdtype", "con.confupdtype"],
]);

/**
 * The engine asks for columns of the type "char", which the adapter of 7.10 refuses to read. They are asked for as text
 * and handed to the engine as the single characters that it expects.
 */
function readingConstraintTypes(adapter: SqlDriverAdapter): SqlDriverAdapter {
  return {
    provider: adapter.provider,
    adapterName: adapter.adapterName,
    queryRaw: async (query) => {
      const result = await adapter.queryRaw({ ...query, sql: readCharsAsText(query.sql) });
      const types = result.columnTypes.map((type, i) =>
        charColumns.has(result.columnNames[i] ?? "") ? ColumnTypeEnum.Character : type,
      );
      return { ...result, columnTypes: types };
    },
    executeRaw: (query) => adapter.executeRaw(query),
    executeScript: (script) => adapter.executeScript(script),
    startTransaction: (isolationLevel) => adapter.startTransaction(isolationLevel),
    dispose: () => adapter.dispose(),
    getConnectionInfo: () => adapter.getConnectionInfo?.() ?? { supportsRelationJoins: true },
  };
}

function readCharsAsText(sql: string): string {
  let text = sql;
  for (const [name, column] of charColumns) {
    text = text.replace(new RegExp(`${column}( AS ${name})?,`), `${column}::text AS ${name},`);
  }
  return text;
}

// The package's own entry imports the .wasm file as a module, which Node 20 cannot.
async function instantiate(): Promise<void> {
  const script = createRequire(import.meta.url).resolve("@prisma/schema-engine-wasm/schema_engine_bg");
  const module = await WebAssembly.compile(await readFile(script.replace(/js$/, "wasm")));
  const { exports } = await WebAssembly.instantiate(module, { "./schema_engine_bg.js": { ...bindings } });
  bindings.__wbg_set_wasm(exports);
  if (typeof exports.__wbindgen_start === "function") exports.__wbindgen_start();
}
