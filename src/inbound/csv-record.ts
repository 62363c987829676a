/** The records of a CSV log. */
import { MAX_LINE } from './lines.js';

/**
 * Cuts lines into fields, also when a quoted field holds separators, quotes or line breaks. A library's parser keeps a
 * record until it ends, and one stray quote makes the rest of a file one record; this one gives up after MAX_LINE.
 */
export class CsvRecord {
  /** Whether a quoted field goes on in the next line. */
  isOpen = false;
  startedAt = 0;
  readonly #delimiter: string;
  #fields: string[] = [];
  #field = '';
  #length = 0;

  constructor(delimiter: string) {
    this.#delimiter = delimiter;
  }

  reset(): void {
    this.isOpen = false;
    this.#fields = [];
    this.#field = '';
    this.#length = 0;
  }

  /** @returns the fields, or null when the record goes on in the next line */
  push(line: string, number: number): string[] | 'too long' | null {
    if (!this.isOpen) {
      this.startedAt = number;
      if (!line.includes('"')) return line.split(this.#delimiter);
    }
    this.#length += line.length + 1;
    if (this.#length > MAX_LINE) return 'too long';
    for (let index = 0; index < line.length; index += 1) {
      const character = line.charAt(index);
      if (this.isOpen) {
        if (character !== '"') this.#field += character;
        else if (line.charAt(index + 1) === '"') {
          this.#field += '"';
          index += 1;
        } else this.isOpen = false;
      } else if (character === this.#delimiter) {
        this.#fields.push(this.#field);
        this.#field = '';
      } else if (character === '"' && this.#field === '') this.isOpen = true;
      else this.#field += character;
    }
    if (this.isOpen) {
      this.#field += '\n';
      return null;
    }
    const fields = [...this.#fields, this.#field];
    this.reset();
    return fields;
  }
}
