/** The code that Node gives an error: `ENOENT`. */
export const codeOf = (error: unknown): string | undefined => (error as NodeJS.ErrnoException | undefined)?.code

/** The message of an error that was caught. */
export const messageOf = (error: unknown): string => (error as Error).message
