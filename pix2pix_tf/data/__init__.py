"""Where images come from, alone, in pairs or unpaired, and how they become batches."""
