// Runs a Node.js handler for the Lambda Runtime API.
//
// AWS's behaviour: "Define Lambda function handler in Node.js", "Log and monitor Node.js Lambda functions".
'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');
const util = require('util');
const { pathToFileURL } = require('url');

const [host, port] = process.env.AWS_LAMBDA_RUNTIME_API.split(':');
const agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
const jsonLogs = (process.env.AWS_LAMBDA_LOG_FORMAT || '').toUpperCase() === 'JSON';
let requestId;

function call(method, end, headers, body) {
  return new Promise((resolve, reject) => {
    const sent = body === undefined ? headers : { ...headers, 'Content-Length': Buffer.byteLength(body) };
    const options = { host, port, agent, method, path: `/2018-06-01/runtime/${end}`, headers: sent };
    const request = http.request(options, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts).toString('utf8') }));
      response.on('error', reject);
    });
    request.setNoDelay(true);
    request.on('error', reject);
    request.end(body);
  });
}

// Output: one record is one line. A carriage return keeps the lines of a record together; Millpond makes it a line break within one event.
function write(text) {
  let rest = Buffer.from(text.replace(/\r?\n/g, '\r') + '\n');
  while (rest.length > 0) {
    try {
      rest = rest.subarray(fs.writeSync(1, rest));
    } catch (error) {
      if (error.code !== 'EAGAIN') return;
    }
  }
}

const LEVELS = ['TRACE', 'DEBUG', 'INFO', 'WARN', 'ERROR', 'FATAL'];
const leastLevel = Math.max(0, LEVELS.indexOf((process.env.AWS_LAMBDA_LOG_LEVEL || '').toUpperCase()));

function record(level, values) {
  const time = new Date().toISOString();
  if (LEVELS.indexOf(level) < leastLevel) return;
  if (!jsonLogs) {
    write(`${time}\t${requestId}\t${level}\t${util.format(...values)}`);
    return;
  }
  const entry = { timestamp: time, level, requestId };
  if (values.length === 1 && typeof values[0] === 'object' && values[0] !== null && !(values[0] instanceof Error)) {
    entry.message = values[0];
  } else {
    entry.message = util.format(...values);
    const error = values.find((value) => value instanceof Error);
    if (error) Object.assign(entry, { errorType: error.name, errorMessage: error.message, stackTrace: stack(error) });
  }
  try {
    write(JSON.stringify(entry));
  } catch {
    write(JSON.stringify({ ...entry, message: util.format(...values) }));
  }
}

for (const [name, level] of Object.entries({ trace: 'TRACE', debug: 'DEBUG', log: 'INFO', info: 'INFO', warn: 'WARN', error: 'ERROR' })) {
  console[name] = (...values) => record(level, values);
}
console.fatal = (...values) => record('FATAL', values);

function stack(error) {
  return typeof error.stack === 'string' ? error.stack.split('\n') : [];
}

function isError(value) {
  return value instanceof Error || util.types.isNativeError(value);
}

function describe(error) {
  if (isError(error)) {
    return { errorType: error.name || 'Error', errorMessage: String(error.message), trace: stack(error) };
  }
  const message = typeof error === 'string' ? error : util.inspect(error);
  return { errorType: typeof error, errorMessage: message, trace: [] };
}

function logged(label, error, described) {
  if (jsonLogs) {
    record('ERROR', [{ ...described, stackTrace: described.trace, trace: undefined }]);
    return;
  }
  const extra = isError(error) ? Object.fromEntries(Object.entries(error)) : {};
  let text;
  try {
    text = JSON.stringify({ errorType: described.errorType, errorMessage: described.errorMessage, ...extra, stack: described.trace });
  } catch {
    text = JSON.stringify({ errorType: described.errorType, errorMessage: described.errorMessage, stack: described.trace });
  }
  record('ERROR', [`${label} \t%s`, text]);
}

function fault(kind, message, cause) {
  const error = new Error(message);
  error.name = kind;
  error.stack = [`${kind}: ${message}`, ...(cause && cause.stack ? cause.stack.split('\n').slice(1) : [])].join('\n');
  return error;
}

// Finds `dir/module.export.nested`.
function isModule(file) {
  if (file.endsWith('.mjs')) return true;
  if (file.endsWith('.cjs')) return false;
  for (let directory = path.dirname(file); ; directory = path.dirname(directory)) {
    try {
      return JSON.parse(fs.readFileSync(path.join(directory, 'package.json'), 'utf8')).type === 'module';
    } catch {
      if (directory === path.dirname(directory) || directory === process.env.LAMBDA_TASK_ROOT) return false;
    }
  }
}

async function load(module) {
  const base = path.resolve(process.env.LAMBDA_TASK_ROOT, module);
  const file = [base, `${base}.js`, `${base}.mjs`, `${base}.cjs`].find((candidate) => fs.existsSync(candidate) && fs.statSync(candidate).isFile());
  if (file !== undefined && isModule(file)) return import(pathToFileURL(file).href);
  return require(file !== undefined ? file : require.resolve(module, { paths: [process.env.LAMBDA_TASK_ROOT, ...(process.env.NODE_PATH || '').split(':').filter(Boolean)] }));
}

async function findHandler(name) {
  const slash = name.lastIndexOf('/') + 1;
  const dot = name.indexOf('.', slash);
  if (dot <= slash || dot === name.length - 1 || name.includes('..')) {
    throw fault('Runtime.MalformedHandlerName', name.includes('..') ? `'${name}' is not a valid handler name. Use absolute paths when specifying root directories in handler names.` : 'Bad handler');
  }
  const module = name.slice(0, dot);
  let loaded;
  try {
    loaded = await load(module);
  } catch (error) {
    if (error instanceof SyntaxError) throw fault('Runtime.UserCodeSyntaxError', String(error), error);
    if (error && (error.code === 'MODULE_NOT_FOUND' || error.code === 'ERR_MODULE_NOT_FOUND')) {
      throw fault('Runtime.ImportModuleError', `Error: ${error.message.replace(/^Cannot find module '[^']*'/, (found) => (error.message.includes('Require stack') ? found : `Cannot find module '${module}'`))}`, error);
    }
    throw error;
  }
  const names = name.slice(dot + 1).split('.');
  const find = (from) => names.reduce((value, key) => (value === undefined || value === null ? undefined : value[key]), from);
  const handler = find(loaded) || (loaded.default && find(loaded.default));
  if (handler === undefined || handler === null) throw fault('Runtime.HandlerNotFound', `${name} is undefined or not exported`);
  if (typeof handler !== 'function') throw fault('Runtime.HandlerNotFound', `${name} is not a function`);
  return handler;
}

// Runs one invocation; resolves with what is to be posted, as `{ error }` or `{ value }`.
let finish = () => {};
let wasEmpty = () => {};

function run(handler, headers, event) {
  return new Promise((resolve) => {
    let waitForLoop = true;
    let pending;
    const settle = (outcome) => resolve(outcome);
    finish = settle;
    const done = (error, value) => {
      const outcome = error !== undefined && error !== null ? { error } : { value };
      if (outcome.error !== undefined || !waitForLoop) settle(outcome);
      else pending = outcome;
    };
    // Nothing is left to wait for: AWS answers with what the callback got, or null.
    wasEmpty = () => settle(pending || { value: null });
    const given = headers['lambda-runtime-client-context'];
    const deadline = Number(headers['lambda-runtime-deadline-ms']);
    const context = {
      get callbackWaitsForEmptyEventLoop() { return waitForLoop; },
      set callbackWaitsForEmptyEventLoop(value) { waitForLoop = value; },
      succeed: (value) => settle({ value }),
      fail: (error) => settle({ error: error === undefined || error === null ? 'handled' : error }),
      done: (error, value) => settle(error !== undefined && error !== null ? { error } : { value }),
      functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
      clientContext: given ? JSON.parse(Buffer.from(given, 'latin1').toString('utf8')) : undefined,
      identity: undefined,
      invokedFunctionArn: headers['lambda-runtime-invoked-function-arn'],
      awsRequestId: requestId,
      tenantId: headers['lambda-runtime-aws-tenant-id'],
      getRemainingTimeInMillis: () => Math.max(deadline - Date.now(), 0),
    };
    try {
      const returned = handler(event, context, done);
      if (returned !== null && typeof returned === 'object' && typeof returned.then === 'function') {
        returned.then((value) => settle({ value }), (error) => settle({ error: error === undefined || error === null ? new Error('undefined') : error }));
      }
    } catch (error) {
      settle({ error });
    }
  });
}

async function post(outcome) {
  if (outcome.error === undefined) {
    let body;
    try {
      body = JSON.stringify(outcome.value === undefined ? null : outcome.value);
      await call('POST', `invocation/${requestId}/response`, { 'Content-Type': 'application/json' }, body === undefined ? 'null' : body);
      return;
    } catch (error) {
      if (body !== undefined) throw error;
      outcome = { error: fault('Runtime.SerializationError', `Unable to stringify response body: ${error.message}`) };
    }
  }
  const described = describe(outcome.error);
  logged('Invoke Error', outcome.error, described);
  await call('POST', `invocation/${requestId}/error`, errorHeaders(described), JSON.stringify(described));
}

function errorHeaders(described) {
  return { 'Content-Type': 'application/json', 'Lambda-Runtime-Function-Error-Type': described.errorType.replace(/[^\x20-\x7e]/g, '?') };
}

async function uncaught(label, kind, error) {
  const described = kind === undefined ? describe(error) : { errorType: kind, errorMessage: isError(error) ? error.toString() : String(error), reason: describe(error), promise: {}, trace: stack(fault(kind, String(error), error)) };
  logged(label, error, described);
  const end = requestId === undefined ? 'init/error' : `invocation/${requestId}/error`;
  try {
    await call('POST', end, errorHeaders(described), JSON.stringify(described));
  } finally {
    process.exit(kind === undefined ? 129 : 128);
  }
}

process.on('uncaughtException', (error) => void uncaught('Uncaught Exception', undefined, error));
process.on('unhandledRejection', (error) => void uncaught('Unhandled Promise Rejection', 'Runtime.UnhandledPromiseRejection', error));
process.on('beforeExit', () => wasEmpty());

async function main() {
  let handler;
  try {
    handler = await findHandler(process.env._HANDLER);
  } catch (error) {
    const described = describe(error);
    logged('Uncaught Exception', error, described);
    await call('POST', 'init/error', errorHeaders(described), JSON.stringify(described));
    process.exit(1);
  }
  for (;;) {
    const next = await call('GET', 'invocation/next', {});
    if (next.status !== 200) throw new Error(`the runtime API answered ${next.status}: ${next.body}`);
    requestId = next.headers['lambda-runtime-aws-request-id'];
    const trace = next.headers['lambda-runtime-trace-id'];
    if (trace) process.env._X_AMZN_TRACE_ID = trace;
    else delete process.env._X_AMZN_TRACE_ID;
    let outcome;
    try {
      outcome = await run(handler, next.headers, JSON.parse(next.body));
    } catch (error) {
      outcome = { error };
    }
    await post(outcome);
  }
}

main();
