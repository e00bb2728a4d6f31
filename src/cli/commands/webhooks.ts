import { Argument, type Command } from 'commander'
import { printable, printableJson } from '../../core/printable.js'
import { type CommandDescription, CommandError, EXIT_FAILURE, EXIT_OK, type Process } from '../command.js'
import { whyNoAnswer } from '../gateway-writer.js'
import { formatOption, gatewayOptions, notEmpty, readToken, wholeNumber } from '../options.js'
import { writeTable } from '../standard-output.js'

const nameArgument = new Argument('<NAME>').argParser(notEmpty)
const options = gatewayOptions('the shared port of a gateway (default http://127.0.0.1:8080)')
const listOptions = [formatOption(), ...options]

export const webhooksCommand: CommandDescription = {
  name: 'webhooks',
  summary: 'lists and describes webhooks of a gateway, skips records, tests endpoints',
  options: listOptions,
  notes: 'Without a command, it is castellan webhooks list.',
  examples: ['castellan webhooks', 'castellan webhooks skip orders 0 17'],
  runsFirst: true,
  commands: [
    {
      name: 'list',
      summary: 'lists the webhooks, and how they are at each gateway',
      options: listOptions,
      examples: ['castellan webhooks list', 'castellan webhooks list --format json'],
      run: list
    },
    {
      name: 'describe',
      summary: 'shows lag, open records and the last attempts of a webhook, as JSON',
      arguments: [nameArgument],
      options,
      examples: ['castellan webhooks describe orders'],
      run: asking('GET', ({ args: [name] }) => `/webhooks/${encodeURIComponent(name!)}`)
    },
    {
      name: 'skip',
      summary: 'settles an open record without a delivery',
      arguments: [
        nameArgument,
        new Argument('<PARTITION>').argParser(wholeNumber(0)),
        new Argument('<OFFSET>').argParser(wholeNumber(0))
      ],
      options,
      notes: 'The record becomes a dead letter where the webhook has a topic for them.',
      examples: ['castellan webhooks skip orders 0 17'],
      run: asking(
        'POST',
        ({ args: [name] }) => `/webhooks/${encodeURIComponent(name!)}/skip`,
        ({ args: [, partition, offset] }) => ({ partition: Number(partition), offset: Number(offset) })
      )
    },
    {
      name: 'test',
      summary: 'sends an empty signed request to the endpoint',
      arguments: [nameArgument],
      options,
      notes: 'The exit code is 0 for a 2xx, and 1 otherwise.',
      examples: ['castellan webhooks test orders'],
      run: asking(
        'POST',
        ({ args: [name] }) => `/webhooks/${encodeURIComponent(name!)}/test`,
        undefined,
        ({ status }) => (Math.floor(Number(status) / 100) === 2 ? EXIT_OK : EXIT_FAILURE)
      )
    },
    {
      name: 'resume',
      summary: 'goes on after the endpoint has answered 410, and ends a pause that it has asked for',
      arguments: [nameArgument],
      options,
      examples: ['castellan webhooks resume orders'],
      run: asking('POST', ({ args: [name] }) => `/webhooks/${encodeURIComponent(name!)}/resume`)
    }
  ]
}

interface WebhooksFlags {
  readonly gateway?: string
  readonly tokenFile?: string
  readonly format?: 'table' | 'json'
}

interface Listed {
  readonly webhooks: readonly {
    readonly name: string
    readonly topic: string
    readonly url: string
    readonly gateways: readonly Readonly<Record<string, unknown>>[]
  }[]
  readonly silent: readonly string[]
}

async function list(line: Command, process: Process): Promise<number> {
  const { webhooks, silent } = (await ask(line, process, 'GET', '/webhooks')) as unknown as Listed
  const rows = webhooks.flatMap(({ name, topic, url, gateways }) =>
    gateways.map(({ gateway, state, open, inFlight, deadLetters, lost }) => {
      return { name, topic, url, gateway, state, open, inFlight, deadLetters, lost }
    })
  )
  const columns = ['name', 'topic', 'url', 'gateway', 'state', 'open', 'inFlight', 'deadLetters', 'lost'] as const
  writeTable(process.stdout, line.opts<WebhooksFlags>().format, columns, rows)
  if (silent.length > 0) process.stderr.write(`castellan webhooks: no answer of ${silent.join(', ')}\n`)
  return EXIT_OK
}

/** A command that asks a gateway, and writes its answer. */
function asking(
  method: 'GET' | 'POST',
  pathOf: (line: Command) => string,
  bodyOf?: (line: Command) => object,
  codeOf: (answer: Readonly<Record<string, unknown>>) => number = () => EXIT_OK
) {
  return async (line: Command, process: Process): Promise<number> => {
    const answer = await ask(line, process, method, pathOf(line), bodyOf?.(line))
    process.stdout.write(`${printableJson(JSON.stringify(answer, undefined, 2))}\n`)
    return codeOf(answer)
  }
}

/** @throws CommandError when there is no answer, or it is a refusal */
async function ask(
  line: Command,
  { stopped: signal }: Process,
  method: 'GET' | 'POST',
  path: string,
  body?: object
): Promise<Readonly<Record<string, unknown>>> {
  const { gateway = 'http://127.0.0.1:8080', tokenFile } = line.opts<WebhooksFlags>()
  const url = new URL(path, gateway)
  const headers = {
    ...(tokenFile !== undefined && { authorization: `Bearer ${readToken(tokenFile)}` }),
    ...(body !== undefined && { 'content-type': 'application/json' })
  }
  const request = { method, headers, signal, ...(body !== undefined && { body: JSON.stringify(body) }) }
  const response = await fetch(url, request).catch((error: unknown) => {
    throw new CommandError(whyNoAnswer(url, error))
  })
  const text = await response.text()
  if (response.status === 200) return JSON.parse(text)
  throw new CommandError(`${response.status}: ${detailIn(text)}`)
}

function detailIn(text: string): string {
  try {
    return printable(String(JSON.parse(text).detail))
  } catch {
    return printable(text)
  }
}
