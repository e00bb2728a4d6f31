import type { CommandDescription } from './command.js'
import { commandsOfApis } from './commands/api.js'
import { brokerCommand } from './commands/broker.js'
import { completeCommand, completionCommand } from './commands/completion.js'
import { passwordCommand, tokenCommand } from './commands/credentials.js'
import { groupsCommand } from './commands/groups.js'
import { pixyCommand } from './commands/pixy.js'
import { readCommand } from './commands/read.js'
import { receiptCommand } from './commands/receipt.js'
import { serveCommand } from './commands/serve.js'
import { topicsCommand } from './commands/topics.js'
import { walCommand } from './commands/wal.js'
import { writeCommand } from './commands/write.js'

/** Every command, in the order of `castellan --help`. The first command runs when the command line names none. */
export const commands: readonly CommandDescription[] = [
  serveCommand,
  ...commandsOfApis,
  readCommand,
  writeCommand,
  topicsCommand,
  groupsCommand,
  receiptCommand,
  pixyCommand,
  brokerCommand,
  walCommand,
  tokenCommand,
  passwordCommand,
  completionCommand,
  completeCommand
]
